"""What the pages `/signup` and `/me` say. Data only; `web.texts` takes it in."""

from __future__ import annotations

PERSON: dict[str, dict[str, str]] = {
    "en": {
        "signup": "Sign up or sign in",
        "signup_intro": "A code goes to your phone. Whoever signed up before is signed in with it.",
        "signup_known": "You are signed in. With another code your number is proved anew.",
        "signup_closed": "Nobody can sign up here",
        "signup_closed_why": "The operator has set up no gateway that could send a code to a phone. What "
        "guests may do here they may do without signing up.",
        "signup_phone": "Your phone number, with + and the country code",
        "signup_phone_hint": "For example +49 151 23456789. It gets a text message. The number itself is "
        "not kept: only a keyed digest of it, the countries it can belong to, and its kind.",
        "signup_send": "Send the code",
        "signup_bounds": "A number gets one code a minute, {hour} in an hour and {day} in a day. A code is "
        "good for {minutes} minutes, {attempts} attempts, and once.",
        "signup_code_title": "The code from your phone",
        "signup_sent": "If the number {phone} can be reached, it has a code of {digits} digits by now.",
        "signup_until": "It is good until {at} UTC and for {attempts} attempts.",
        "signup_resend_from": "Another code can be asked for from {at} UTC on.",
        "signup_code": "Code of {digits} digits",
        "signup_new": "Only if you are new here",
        "signup_new_why": "What you say is not checked now and counts as your word. What you leave empty is "
        "unknown: then nothing that depends on it is assumed. You can correct it later.",
        "signup_residence": "The country where you live",
        "signup_unsaid": "not said",
        "signup_born": "Date of birth",
        "signup_least": "Or only how old you are at the least, in years",
        "signup_verify": "Go on",
        "signup_again": "Send another code",
        "signup_other": "Use another number",
        "signup_recovery": "Recovery code",
        "signup_recovery_hint": "It was shown once, when the account was made.",
        "signup_anew": "I do not have it: begin a new account with this number. The old one keeps what it "
        "has.",
        "signup_wrong_residence": "Choose a place of the list, or leave it open.",
        "signup_wrong_birth_date": "Write a day in the past, such as 1990-05-31, or leave it empty.",
        "signup_wrong_least_age": "Write whole years, 0 to 150, or leave it empty; not beside a date of "
        "birth.",
        "signup_wrong_code": "Write the code as you received it.",
        "signup_later_seconds": "In {n} seconds it can be tried again.",
        "signup_later_minutes": "In {n} minutes it can be tried again.",
        "signup_later_hours": "In {n} hours it can be tried again.",
        "signup_done": "You have signed up",
        "signup_keep": "Your recovery code",
        "signup_keep_why": "Write it down and keep it safe. It is shown this once, and only a digest of it "
        "is kept. If your number is not proved for {days} days, the account opens only with it or from a "
        "browser that is still signed in.",
        "signup_guest_stays": "What you asked before as a guest stays the guest’s and is not in this "
        "account.",
        "signup_refused": "You cannot sign up here",
        "signup_refused_why": "Your number was proved, but by these rules no account is made. The decision "
        "is kept, so that you can appeal.",
        "signup_elsewhere": "Your account belongs to another zone",
        "signup_elsewhere_why": "People of whom this is known are served by another zone of this service, "
        "which keeps their data. No account is made here. Sign up there:",
        "signup_elsewhere_link": "Sign up at {address}",
        "signup_asked": "What is asked of you next",
        "me_kind_of_residence": "where I live",
        "me_kind_of_age": "my age",
        "me_kind_of_real_name": "my real name",
        "me_kind_of_guardian": "that a guardian consents",
    },
    "zh": {
        "signup": "注册或登录",
        "signup_intro": "验证码将发送到您的手机。已注册者凭验证码登录。",
        "signup_known": "您已登录。再次获取验证码可重新验证您的号码。",
        "signup_closed": "此处未开放注册",
        "signup_closed_why": "运营者尚未配置可发送验证码的短信通道。访客可使用的功能无需注册。",
        "signup_phone": "您的手机号，含 + 与国家（地区）代码",
        "signup_phone_hint": "例如 +86 138 0013 8000。将收到一条短信。号码本身不留存，仅留存其带密钥的摘要、"
        "可能的归属国家（地区）及号码类型。",
        "signup_send": "发送验证码",
        "signup_bounds": "同一号码每分钟 1 个验证码，每小时 {hour} 个，每天 {day} 个。每个验证码 {minutes} "
        "分钟内有效，可尝试 {attempts} 次，仅可使用一次。",
        "signup_code_title": "输入手机收到的验证码",
        "signup_sent": "如号码 {phone} 可以接通，现已收到 {digits} 位验证码。",
        "signup_until": "有效至 {at}（UTC），可尝试 {attempts} 次。",
        "signup_resend_from": "{at}（UTC）起可重新获取。",
        "signup_code": "{digits} 位验证码",
        "signup_new": "仅首次注册时填写",
        "signup_new_why": "您填写的内容暂不核实，仅作为本人申报。未填写的视为未知，与其有关的事项不作推定。"
        "日后可更正。",
        "signup_residence": "您的居住国家或地区",
        "signup_unsaid": "不填写",
        "signup_born": "出生日期",
        "signup_least": "或仅填写您至少多少周岁",
        "signup_verify": "继续",
        "signup_again": "重新获取验证码",
        "signup_other": "使用其他号码",
        "signup_recovery": "恢复码",
        "signup_recovery_hint": "仅在账户创建时显示过一次。",
        "signup_anew": "我没有恢复码：以此号码新建账户。旧账户的内容仍归旧账户。",
        "signup_wrong_residence": "请从列表中选择，或不填写。",
        "signup_wrong_birth_date": "请填写过去的日期，例如 1990-05-31，或不填。",
        "signup_wrong_least_age": "请填写 0 到 150 的整数，或不填；不能与出生日期同时填写。",
        "signup_wrong_code": "请按收到的内容填写验证码。",
        "signup_later_seconds": "{n} 秒后可重试。",
        "signup_later_minutes": "{n} 分钟后可重试。",
        "signup_later_hours": "{n} 小时后可重试。",
        "signup_done": "注册成功",
        "signup_keep": "您的恢复码",
        "signup_keep_why": "请抄下并妥善保管。恢复码仅显示这一次，此处只留存其摘要。如您的号码 {days} 天未重"
        "新验证，须凭恢复码或仍处于登录状态的浏览器才能打开账户。",
        "signup_guest_stays": "您此前作为访客提出的问题仍归该访客，不在此账户中。",
        "signup_refused": "您无法在此注册",
        "signup_refused_why": "您的号码已验证，但根据以下规则不能创建账户。该决定会留存，以便您申诉。",
        "signup_elsewhere": "您的账户属于另一分区",
        "signup_elsewhere_why": "与您情况相同的用户由本服务的另一分区提供服务并保存数据，未在此创建账户。请"
        "前往注册：",
        "signup_elsewhere_link": "前往 {address} 注册",
        "signup_asked": "接下来需要您提供",
        "me_kind_of_residence": "居住地",
        "me_kind_of_age": "年龄",
        "me_kind_of_real_name": "真实姓名",
        "me_kind_of_guardian": "监护人同意",
    },
}
