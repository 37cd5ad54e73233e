//! One table of error codes, each with its status, type and a sentence that says what to do, and
//! the OpenAI-shaped error object made of it. `docs/errors.md` lists the same codes; a test compares.
use crate::limits::RETRY_AFTER_S;
use crate::wire::{Lang, WireErrorBody};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

/// A row of the table: what a code means to the caller.
#[derive(Debug)]
pub struct Code {
    pub code: &'static str,
    pub status: u16,
    pub kind: &'static str,
    pub en: &'static str,
    pub zh: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $kind:literal $en:literal $zh:literal;)*) => {
        $(pub static $name: Code = Code { code: $code, status: $status, kind: $kind, en: $en, zh: $zh };)*
        /// All codes, for the documentation's test.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    NOT_FOUND "not_found" 404 "invalid_request_error"
        "There is no such route. Check the path and the method; docs/errors.md lists the routes."
        "没有这个路由。请检查路径和方法；docs/errors.md 列出了全部路由。";
    METHOD_NOT_ALLOWED "method_not_allowed" 405 "invalid_request_error"
        "This route does not answer this method. Use the method in the Allow header."
        "该路由不支持此方法，请使用 Allow 头中的方法。";
    WRONG_HOST "wrong_host" 421 "invalid_request_error"
        "This server does not answer under this Host. Use one of the addresses it was configured with."
        "本服务器不以该 Host 提供服务，请使用其配置的地址。";
    FORWARDED_LOCALLY "forwarded_locally" 421 "invalid_request_error"
        "In stage local no forwarded request is answered. Call the address directly, or set up the stage public."
        "本地阶段不接受经转发的请求。请直接访问该地址，或配置为公开阶段。";
    FORWARDED_UNTRUSTED "forwarded_untrusted" 421 "invalid_request_error"
        "A proxy on this machine forwarded the request, but it is not in edge.trusted_proxies. The operator adds its address there."
        "本机代理转发了该请求，但它不在 edge.trusted_proxies 中。请运营者将其地址加入该列表。";
    TLS_REQUIRED "tls_required" 403 "invalid_request_error"
        "Without TLS this server answers trusted proxies only. Call its public address, which begins with https."
        "未经 TLS 时，本服务器只响应受信任的代理。请访问其以 https 开头的公开地址。";
    TOO_MANY_OPEN "too_many_open" 429 "rate_limit_error"
        "Your address has as many requests open as one may. Wait until one ends, then try again."
        "您的地址同时打开的请求已达上限，请等其中一个结束后重试。";
    BAD_HEAD "bad_request_head" 400 "invalid_request_error"
        "The request head is not valid HTTP. Send one Host, one length and plain CRLF lines."
        "请求头不是有效的 HTTP。请只发送一个 Host、一种长度声明和标准 CRLF 行。";
    HEAD_TOO_LARGE "request_head_too_large" 431 "invalid_request_error"
        "The request head is larger than 32 KiB or has more than 100 fields. Send fewer or shorter fields."
        "请求头超过 32 KiB 或 100 个字段，请减少或缩短字段。";
    TARGET_TOO_LONG "target_too_long" 414 "invalid_request_error"
        "The request target is longer than 8 KiB. Send the data in the body."
        "请求目标超过 8 KiB，请把数据放入正文。";
    HEAD_TIMEOUT "request_timeout" 408 "invalid_request_error"
        "The request did not arrive in time. Send it faster, or in one piece."
        "请求未在限定时间内到达，请更快或一次性发送。";
    BODY_TOO_LARGE "body_too_large" 413 "invalid_request_error"
        "The body is larger than 10 MiB (50 MiB for an upload). Send less."
        "正文超过 10 MiB（上传为 50 MiB），请减少内容。";
    BAD_BODY "bad_body" 400 "invalid_request_error"
        "The body ended early or its framing is broken. Send it again."
        "正文提前结束或分帧损坏，请重新发送。";
    UNSUPPORTED_ENCODING "unsupported_content_encoding" 415 "invalid_request_error"
        "Compressed request bodies are not accepted. Send the body without Content-Encoding."
        "不接受压缩的请求正文，请去掉 Content-Encoding 后发送。";
    UNSUPPORTED_TYPE "unsupported_content_type" 415 "invalid_request_error"
        "This route takes JSON. Send the body with content-type: application/json."
        "该路由只接受 JSON，请以 content-type: application/json 发送正文。";
    MISSING_CREDENTIAL "missing_credential" 401 "authentication_error"
        "No credential was sent. Send your API key as `Authorization: Bearer <key>`."
        "未发送凭证。请以 `Authorization: Bearer <密钥>` 发送您的 API 密钥。";
    TWO_CREDENTIALS "two_credentials" 400 "invalid_request_error"
        "More than one credential was sent. Send exactly one: an API key or a session, not both."
        "发送了多个凭证。请只发送一个：API 密钥或会话，不要同时发送。";
    BAD_CREDENTIAL "invalid_key" 401 "authentication_error"
        "This is not a valid API key. Send `Authorization: Bearer <key>` with a key that was created here."
        "这不是有效的 API 密钥。请以 `Authorization: Bearer <密钥>` 发送在此创建的密钥。";
    FAILED_CREDENTIALS "too_many_failed_credentials" 429 "rate_limit_error"
        "Too many credentials that are not valid came from your address, so no new one is looked at for now. Try again after the time in Retry-After."
        "来自您所在地址的无效凭证过多，暂不检查新的凭证。请在 Retry-After 所示时间后重试。";
    TOO_MANY_SIGNUPS "too_many_signups" 429 "rate_limit_error"
        "Too many codes were asked for or tried from your address. Try again after the time in Retry-After."
        "来自您所在地址的验证码请求或尝试过多。请在 Retry-After 所示时间后重试。";
    CROSS_ORIGIN "cross_origin" 403 "permission_error"
        "A session is only accepted from this site's own pages. Use an API key instead."
        "会话只在本站页面内有效，请改用 API 密钥。";
    PERMISSION "insufficient_scope" 403 "permission_error"
        "This key may not use this route. Ask for a key with the scope it needs."
        "该密钥无权使用此路由，请申请具有相应权限的密钥。";
    MODEL_NOT_FOUND "model_not_found" 404 "invalid_request_error"
        "There is no model of this name here. GET /v1/models lists the names."
        "此处没有该名称的模型，GET /v1/models 列出可用名称。";
    NO_CONTACT "no_contact" 503 "server_error"
        "The part that decides cannot be reached right now, so nothing is answered. Try again shortly."
        "暂时无法联系负责决定的部分，因此不予回答。请稍后重试。";
    PLAN_NOT_UNDERSTOOD "plan_not_understood" 503 "server_error"
        "This relay is older than the plan it was given and cannot carry it out. Upgrade the relay."
        "该中继版本低于所得的计划，无法执行。请升级中继。";
    RULES_NOT_READY "rules_not_ready" 503 "server_error"
        "The content rules of this turn are not compiled yet. Try again shortly."
        "本轮所需的内容规则尚未就绪，请稍后重试。";
    CONFIG_NOT_READY "config_not_ready" 503 "server_error"
        "The configuration is being exchanged. Try again shortly."
        "配置正在更换，请稍后重试。";
    JOURNAL "record_unavailable" 503 "server_error"
        "The record cannot be written, and what is not recorded is not answered. Try again; the operator sees why in the log."
        "记录无法写入，未记录则不回答。请重试；运营者可在日志中看到原因。";
    OVERLOADED "overloaded" 503 "server_error"
        "More is asked here than can be answered right now. Try again after the time in Retry-After."
        "目前请求过多，无法全部回答，请在 Retry-After 所示时间后重试。";
    CONCURRENCY "concurrency_limit" 429 "rate_limit_error"
        "This key has as many turns open as it may. Wait until one ends, then try again."
        "该密钥同时打开的轮次已达上限，请等其中一个结束后重试。";
    POOL_EMPTY "guest_pool_empty" 429 "rate_limit_error"
        "Guests share a number of turns, which is used up for now. Try again in a minute, or use a key."
        "访客共用一定数量的轮次，目前已用完。请一分钟后重试，或使用密钥。";
    BUDGET "budget_exhausted" 429 "rate_limit_error"
        "A limit on what may be used has not enough left for this turn. Try again after the time in Retry-After, or ask for less."
        "用量限额的剩余不足以完成本轮。请在 Retry-After 所示时间后重试，或减少要求。";
    RATE "rate_limited" 429 "rate_limit_error"
        "You ask faster than your rate allows. Try again after the time in Retry-After."
        "请求速度超过允许的速率，请在 Retry-After 所示时间后重试。";
    UNBOUNDED "unbounded_input" 400 "invalid_request_error"
        "This turn is limited by tokens or money, and what images, sound or files cost is not bounded for this model. Send text, or ask the operator to set max_input_tokens."
        "本轮受令牌数或金额限制，而该模型的图片、声音或文件没有用量上限。请只发送文本，或请运营者设置 max_input_tokens。";
    UNPRICED "unpriced_option" 400 "invalid_request_error"
        "This turn is limited by money, and what this field asks for is not at the model's ordinary price: another service tier, sound or the provider's own search. Leave it out, or ask the operator."
        "本轮受金额限制，而该字段所要求的内容（其他服务等级、声音或供应商自带的搜索）不按该模型的普通价格计费。请去掉该字段，或咨询运营者。";
    UNENFORCEABLE "limit_unenforceable" 503 "server_error"
        "A limit concerns this turn and cannot be kept, because a model lacks a bound or a price, so nothing is asked of it. The operator sees which in the log."
        "本轮所受的限额因模型缺少上限或价格而无法执行，因此不调用该模型。运营者可在日志中看到是哪一项。";
    PROVIDER_FAILED "provider_failed" 502 "server_error"
        "The model's provider failed and no other was allowed. Try again later."
        "模型供应商出错，且没有其他允许的供应商。请稍后重试。";
    PROVIDER_REFUSED "provider_refused_request" 400 "invalid_request_error"
        "The model's provider did not accept this request. Check its fields against the provider's documentation."
        "模型供应商不接受该请求，请对照供应商文档检查字段。";
    PROVIDER_TIMEOUT "provider_timeout" 504 "server_error"
        "The model's provider did not answer in time. Try again, or ask for less."
        "模型供应商未在限定时间内回答，请重试或减少要求。";
    PROVIDER_GARBAGE "provider_invalid_answer" 502 "server_error"
        "The model's provider sent something that is not a valid answer. Try again; the operator sees it in the record."
        "模型供应商返回了无效的回答。请重试；运营者可在记录中看到。";
    HELD_TOO_LONG "held_too_long" 502 "server_error"
        "The answer holds text that the content rules cannot decide within their limits, so it was ended. Ask again, or for a shorter answer."
        "回答中的文本使内容规则无法在限度内作出判断，因此已结束。请重试，或要求更短的回答。";
    ANSWER_TOO_LONG "provider_answer_too_long" 502 "server_error"
        "The model's provider sent an answer larger than this server takes. Ask for a shorter answer, or stream it."
        "模型供应商的回答超过本服务器可接受的大小。请要求更短的回答，或使用流式传输。";
    ANSWER_ERROR "provider_error" 502 "server_error"
        "The model's provider reported an error instead of an answer. Try again; the operator sees it in the log."
        "模型供应商报告了错误而未给出回答。请重试；运营者可在日志中看到。";
    FRAME_TOO_LONG "provider_frame_too_long" 502 "server_error"
        "The model's provider sent one part of the stream that is too large. Try again, or ask for a shorter answer."
        "模型供应商发送的单个流片段过大。请重试，或要求更短的回答。";
    ANSWER_GARBAGE "provider_garbage" 502 "server_error"
        "The model's provider sent something that cannot be read safely as an answer, so it was ended. Try again."
        "模型供应商发送的内容无法安全地作为回答读取，因此已结束。请重试。";
    TOO_MANY_TEXTS "provider_too_many_texts" 502 "server_error"
        "The model's provider sent more separate texts than one answer may have. Try again with fewer tools."
        "模型供应商在一个回答中发送的独立文本过多。请减少工具后重试。";
    ANSWER_TRUNCATED "provider_truncated" 502 "server_error"
        "The model's provider ended the answer before it was complete. Try again."
        "模型供应商在回答完成之前中断。请重试。";
    STOPPED "stopped" 403 "permission_error"
        "The permission for this turn ended while it ran. Ask the operator if you think this is wrong."
        "本轮的许可在进行中被终止。如有异议请联系运营者。";
    STOPPING "relay_stopping" 503 "server_error"
        "The server is being restarted and ended this turn. Send it again."
        "服务器正在重启，本轮已结束。请重新发送。";
    BAD_IDEMPOTENCY_KEY "invalid_idempotency_key" 400 "invalid_request_error"
        "Idempotency-Key has to be one header of 1 to 255 visible ASCII characters. Send such a key, or none."
        "Idempotency-Key 须为一个请求头，包含 1 到 255 个可见 ASCII 字符。请发送这样的键，或不发送。";
    BAD_AFTER "invalid_after" 400 "invalid_request_error"
        "'after' has to be the number of code points of the answer that you have. Send that number, or 0 for all of it."
        "“after”须为您已收到的回答的码点数。请发送该数，或发送 0 以取得全部内容。";
    TOO_MANY_READERS "too_many_readers" 429 "rate_limit_error"
        "This answer is followed by as many readers as it may have. Close one, then try again."
        "正在接收该回答的读者已达上限。请关闭其中一个后重试。";
    TURN_INTERRUPTED "turn_interrupted" 500 "server_error"
        "This answer was interrupted and is not continued. Ask again, with a new Idempotency-Key if you send one."
        "该回答已中断，不会继续。请重新提问；如使用 Idempotency-Key，请换一个新的键。";
    CLIENT_GONE "client_gone" 503 "server_error"
        "Nobody read this answer any longer, so it was ended. What there is of it is kept; ask again for the rest."
        "已无人接收该回答，因此已结束。已有部分会保留，请重新提问。";
    UPSTREAM_PAGES "pages_unavailable" 503 "server_error"
        "The pages cannot be reached right now. Try again shortly."
        "暂时无法访问页面，请稍后重试。";
    INTERNAL "internal_error" 500 "server_error"
        "Something failed inside and this turn was ended. Nothing of the answer was sent; try again."
        "内部出错，本轮已结束，回答内容未发送。请重试。";
}

/// An error as a caller reads it. Carries both languages until the rim picks one. Boxed: errors are rare,
/// and a result with one is as small as without.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Fault>);

/// What an error says.
#[derive(Clone, Debug)]
pub struct Fault {
    pub status: u16,
    pub kind: Cow<'static, str>,
    pub code: Cow<'static, str>,
    pub param: Option<String>,
    pub message: (Cow<'static, str>, Cow<'static, str>),
    /// Another zone's name and address, or `Allow` of a 405.
    pub zone: Option<(String, String)>,
    pub allow: Option<&'static str>,
    /// Seconds after which to try again, where it is known.
    pub retry_after: Option<u64>,
    /// Further fields of the answer.
    pub fields: http::HeaderMap,
}

impl Deref for ApiError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Fault {
        &mut self.0
    }
}

impl From<&'static Code> for ApiError {
    fn from(row: &'static Code) -> Self {
        Self(Box::new(Fault {
            status: row.status,
            kind: row.kind.into(),
            code: row.code.into(),
            param: None,
            message: (row.en.into(), row.zh.into()),
            zone: None,
            allow: None,
            retry_after: None,
            fields: http::HeaderMap::new(),
        }))
    }
}

impl From<(u16, WireErrorBody)> for ApiError {
    /// An error of control, passed on with its own words.
    fn from((status, body): (u16, WireErrorBody)) -> Self {
        Self(Box::new(Fault {
            status,
            kind: body.kind.into(),
            code: body.code.into(),
            param: body.param,
            message: (body.message.en.into(), body.message.zh.into()),
            zone: body.zone.zip(body.address),
            allow: None,
            retry_after: None,
            fields: http::HeaderMap::new(),
        }))
    }
}

impl ApiError {
    /// `row` about the field `param`.
    pub fn about(row: &'static Code, param: impl Into<String>) -> Self {
        let mut error = Self::from(row);
        error.param = Some(param.into());
        error
    }

    pub fn message(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.message.0,
            Lang::Zh => &self.message.1,
        }
    }

    /// The object `{"error": {...}}` as bytes.
    pub fn body(&self, lang: Lang) -> Bytes {
        let mut error = serde_json::json!({
            "message": self.message(lang), "type": self.kind, "code": self.code, "param": self.param,
        });
        if let Some((zone, address)) = &self.zone {
            error["zone"] = zone.as_str().into();
            error["address"] = address.as_str().into();
        }
        Bytes::from(serde_json::json!({ "error": error }).to_string())
    }

    /// The object as it stands on the wire inside, with both languages.
    pub fn wire(&self) -> serde_json::Value {
        serde_json::json!({
            "type": self.kind, "code": self.code, "param": self.param,
            "message": { "en": self.message.0, "zh": self.message.1 },
        })
    }

    /// Status and headers of the answer, without its body.
    pub fn head(&self, lang: Lang) -> http::response::Builder {
        let mut head = http::Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(header::CONTENT_LANGUAGE, lang.code());
        if matches!(self.status, 429 | 503) {
            let after = self.retry_after.unwrap_or(RETRY_AFTER_S);
            head = head.header(header::RETRY_AFTER, HeaderValue::from(after));
        }
        if let Some(headers) = head.headers_mut() {
            headers.extend(self.fields.clone());
        }
        if self.status == 401 {
            head = head.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            head = head.header(header::ALLOW, HeaderValue::from_static(allow));
        }
        head
    }
}
