"""What `/start` says. Data only; `web.texts` takes it in."""

from __future__ import annotations

ENTRY: dict[str, dict[str, str]] = {
    "en": {
        "start_title": "Where do you live?",
        "start_intro": "This service keeps what it knows of a person in one place. Which one depends on "
        "where you live, so that is asked first, before anything else.",
        "start_label": "Country or region where you live",
        "start_choose": "Choose …",
        "start_send": "Continue",
        "start_wrong": "Choose a country or region from the list.",
        "start_guess": "Nothing is chosen beforehand: your network address shows where a connection comes "
        "from, not where you live. It is not looked at here.",
        "start_kept": "This page sets no cookie. What you choose is not stored.",
        "start_here": "People who live in {named} are served here.",
        "start_elsewhere": "People who live in {named} are served at another address.",
        "start_nowhere": "No zone of this organisation serves people who live in {named}.",
        "start_refused": "This organisation takes no new people who live in {named}.",
        "start_zone": "Zone",
        "start_go": "Continue to {address}",
        "start_carried": "The link carries only what you chose. That zone decides itself whether it takes "
        "you, and asks for everything else.",
        "start_why": "Why",
        "start_laws": "What the law there says of where data may be",
        "start_no_law": "No rule of the law there on where data may be is known here.",
        "start_again": "Choose another",
        "start_link": "Find the zone that serves you",
        "arrived": "You chose that you live in {named}. It is not kept unless you state it.",
        "arrived_state": "State that I live there",
        "arrived_elsewhere": "You chose that you live in {named}. People who live there are served at "
        "another address.",
        "arrived_refused": "You chose that you live in {named}. Nobody new who lives there is taken here.",
    },
    "zh": {
        "start_title": "您居住在哪里？",
        "start_intro": "本服务将个人信息保存在一个地方，具体位置取决于您的居住地，因此首先只询问这一项。",
        "start_label": "居住国家或地区",
        "start_choose": "请选择……",
        "start_send": "继续",
        "start_wrong": "请从列表中选择国家或地区。",
        "start_guess": "此处不作预先选择：网络地址只表明连接来自何处，不表明您居住在哪里。"
        "本页面不读取您的网络地址所在地。",
        "start_kept": "本页面不设置 Cookie，也不保存您的选择。",
        "start_here": "居住在{named}的用户由此处提供服务。",
        "start_elsewhere": "居住在{named}的用户由另一地址提供服务。",
        "start_nowhere": "本机构没有为居住在{named}的用户提供服务的区域。",
        "start_refused": "本机构不接受居住在{named}的新用户。",
        "start_zone": "区域",
        "start_go": "前往 {address}",
        "start_carried": "链接只带有您的选择。该区域自行决定是否接受您，并询问其余信息。",
        "start_why": "原因",
        "start_laws": "当地法律对数据所在地的规定",
        "start_no_law": "此处不掌握当地法律关于数据所在地的规则。",
        "start_again": "重新选择",
        "start_link": "查找为您服务的区域",
        "arrived": "您选择了居住地：{named}。除非您申报，否则不会保存。",
        "arrived_state": "申报我居住在该处",
        "arrived_elsewhere": "您选择了居住地：{named}。该地用户由另一地址提供服务。",
        "arrived_refused": "您选择了居住地：{named}。此处不接受该地的新用户。",
    },
}
