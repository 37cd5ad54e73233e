//! What was wrong with a request body, for the caller: a stable code, the field, and a sentence that says what to do.

use crate::rules::Text;
use crate::stream::json::Error;

/// A body that is refused; the relay answers 400 with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `invalid_json`, `invalid_unicode`, `invalid_type`, `invalid_value`, `missing_field`, `unknown_field`, `duplicate_field`,
    /// `needs_grant`, `body_too_large`, `body_too_deep`, `body_too_complex`, `unscannable_prompt`,
    /// `held_too_long`.
    pub code: &'static str,
    /// Dotted path of the field, e.g. `messages.0.role`.
    pub param: Option<String>,
    pub message: Text,
}

impl FieldError {
    pub(super) fn new(code: &'static str, param: &str, en: String, zh: String) -> Self {
        let param = (!param.is_empty()).then(|| param.to_owned());
        Self { code, param, message: Text { en, zh } }
    }
}

pub(super) fn wrong_type(param: &str, expected_en: &str, expected_zh: &str) -> FieldError {
    FieldError::new(
        "invalid_type",
        param,
        format!("'{param}' must be {expected_en}."),
        format!("“{param}”必须是{expected_zh}。"),
    )
}

pub(super) fn wrong_value(param: &str, en: &str, zh: &str) -> FieldError {
    FieldError::new("invalid_value", param, format!("'{param}' {en}."), format!("“{param}”{zh}。"))
}

pub(super) fn missing(param: &str) -> FieldError {
    FieldError::new(
        "missing_field",
        param,
        format!("'{param}' is required: add it to the request."),
        format!("缺少必填字段“{param}”，请补上。"),
    )
}

pub(super) fn unknown(param: &str, nearest: Option<&str>) -> FieldError {
    let (en, zh) = match nearest {
        Some(name) => (format!(" Did you mean '{name}'?"), format!("是否想写“{name}”？")),
        None => (" Remove it.".to_owned(), "请删除。".to_owned()),
    };
    FieldError::new(
        "unknown_field",
        param,
        format!("'{param}' is not a field of this request.{en}"),
        format!("此请求没有“{param}”字段。{zh}"),
    )
}

pub(super) fn needs_grant(param: &str) -> FieldError {
    FieldError::new(
        "needs_grant",
        param,
        format!(
            "'{param}' lets the model's provider search, store or call elsewhere; the operator has not granted it."
        ),
        format!("“{param}”会让模型提供方进行检索、存储或远程调用，运营者尚未授权。"),
    )
}

pub(super) fn too_long(limit: usize) -> FieldError {
    FieldError::new(
        "body_too_large",
        "",
        format!("The request body is larger than {limit} bytes: send less."),
        format!("请求正文超过 {limit} 字节，请缩短。"),
    )
}

pub(super) fn not_utf8() -> FieldError {
    FieldError::new(
        "invalid_json",
        "",
        "The request body is not valid UTF-8: encode it as UTF-8.".to_owned(),
        "请求正文不是有效的 UTF-8，请用 UTF-8 编码。".to_owned(),
    )
}

pub(super) fn not_unicode(param: &str) -> FieldError {
    let (en, zh) = if param.is_empty() {
        ("A key of the request".to_owned(), "请求的某个键".to_owned())
    } else {
        (format!("'{param}'"), format!("“{param}”"))
    };
    FieldError::new(
        "invalid_unicode",
        param,
        format!("{en} has half of a surrogate pair, which is no character: send both halves or neither."),
        format!("{zh}含有不成对的代理项（surrogate），不是有效字符，请成对发送或删除。"),
    )
}

pub(super) fn too_many_strings(limit: usize) -> FieldError {
    FieldError::new(
        "body_too_complex",
        "",
        format!("The request has more than {limit} strings: send fewer."),
        format!("请求包含超过 {limit} 个字符串，请减少。"),
    )
}

pub(super) fn tokens() -> FieldError {
    FieldError::new(
        "unscannable_prompt",
        "prompt",
        "'prompt' is a list of token ids, which the rules in force cannot read: send it as text.".to_owned(),
        "“prompt”是 token 编号列表，现行规则无法检查，请改为文本。".to_owned(),
    )
}

pub(super) fn held(lane: &str) -> FieldError {
    FieldError::new(
        "held_too_long",
        lane,
        format!("The text at {lane} is a match without end for the rules in force: shorten it."),
        format!("{lane} 处的文本使现行规则无法在限度内作出判断，请缩短。"),
    )
}

/// A fault of the grammar or of its limits.
pub(super) fn json(error: Error, text: &str) -> FieldError {
    match error {
        Error::Syntax { at } => FieldError::new(
            "invalid_json",
            "",
            format!("The request body is not valid JSON at byte {at}: correct it there."),
            format!("请求正文在第 {at} 字节处不是有效的 JSON，请更正。"),
        ),
        Error::Ended => FieldError::new(
            "invalid_json",
            "",
            "The request body ends inside a JSON value: send it whole.".to_owned(),
            "请求正文中的 JSON 不完整，请完整发送。".to_owned(),
        ),
        Error::DuplicateKey { at } => {
            let rest = &text[at..];
            let name = rest.split('"').next().unwrap_or_default();
            FieldError::new(
                "duplicate_field",
                name,
                format!("'{name}' occurs twice in one object: keep one."),
                format!("“{name}”在同一对象中出现两次，请只保留一个。"),
            )
        }
        Error::TooDeep => FieldError::new(
            "body_too_deep",
            "",
            format!("The request is nested deeper than {} levels.", crate::limits::JSON_DEPTH),
            format!("请求嵌套超过 {} 层。", crate::limits::JSON_DEPTH),
        ),
        Error::TooManyKeys => FieldError::new(
            "body_too_complex",
            "",
            format!("The request has more than {} keys: send fewer.", crate::limits::JSON_KEYS),
            format!("请求包含超过 {} 个键，请减少。", crate::limits::JSON_KEYS),
        ),
    }
}
