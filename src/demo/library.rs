//! What the merchants' assistants know: templates, pairs, prompts, and what their users say of an answer. Facts only; the
//! [`desk`](super::desk) and the [`caller`](super::caller) bring them in.

use super::world::Language;

/// Question, answer and category.
pub type Entry = (&'static str, &'static str, &'static str);

/// For every merchant.
pub const TEMPLATES: &[Entry] = &[
    (
        "How long does delivery take?",
        "Two to four working days within the country, up to ten abroad. The tracking link is in the mail of dispatch.",
        "Delivery",
    ),
    (
        "How do I return something?",
        "Within 30 days, unused, with the label from your account under Orders. We refund within five days of its arrival.",
        "Returns",
    ),
    (
        "Which payment methods are there?",
        "Cards, bank transfer and the usual wallets. Nothing is charged before dispatch.",
        "Payment",
    ),
    (
        "How do I change my address?",
        "Under Account, Addresses. An order that is packed already keeps the old one.",
        "Account",
    ),
    (
        "How do I delete my account?",
        "Under Account, Privacy. Invoices are kept for as long as the law demands.",
        "Account",
    ),
    (
        "多久能发货？",
        "现货当天 16:00 前下单当天发出，预售商品以页面标注的时间为准。",
        "物流",
    ),
    (
        "怎么申请退货退款？",
        "签收后七天内，在“我的订单”里申请，商品不影响二次销售即可。",
        "售后",
    ),
    (
        "可以开发票吗？",
        "可以，下单时填写抬头；电子发票在发货后两天内发到邮箱。",
        "支付",
    ),
    (
        "怎么修改收货地址？",
        "未发货前可在订单详情里修改；已发货请联系快递改派。",
        "账户",
    ),
];

/// A merchant's own, by its place in `TENANTS`; with a quality from 0 to 1.
pub const PAIRS: &[(usize, Entry, f64)] = &[
    (
        0,
        (
            "Is the Ridge jacket waterproof?",
            "Yes, to a water column of 20,000 mm; the seams are taped.",
            "Products",
        ),
        0.95,
    ),
    (
        0,
        (
            "How do I wash a down sleeping bag?",
            "At 30 °C with down detergent, then tumble dry with two tennis balls until no clump is left.",
            "Care",
        ),
        0.9,
    ),
    (
        0,
        (
            "Do you repair zips?",
            "Yes, at cost and within two weeks; send the piece with the repair form.",
            "Service",
        ),
        0.8,
    ),
    (
        0,
        (
            "Which boots fit wide feet?",
            "The Fjell W and the Ridge Mid, both in half sizes.",
            "Products",
        ),
        0.7,
    ),
    (
        1,
        (
            "Can I pre-order a book?",
            "Yes; it is charged on the day it is sent, which is a day before it appears.",
            "Orders",
        ),
        0.9,
    ),
    (
        1,
        (
            "Do you wrap gifts?",
            "For 3.50 a book, with a card of yours inside.",
            "Service",
        ),
        0.85,
    ),
    (
        1,
        (
            "Can I read e-books on any reader?",
            "On all that open EPUB; for the others there is a converter in your library.",
            "E-books",
        ),
        0.75,
    ),
    (
        1,
        (
            "Is there a discount for schools?",
            "Ten per cent from twenty copies; write to us with the school's address.",
            "Orders",
        ),
        0.6,
    ),
    (
        2,
        (
            "沙发套可以机洗吗？",
            "棉麻款可以 30 度机洗，绒面款请干洗。",
            "保养",
        ),
        0.92,
    ),
    (
        2,
        ("床垫有多少天试睡？", "一百天，不满意免费上门取回。", "售后"),
        0.88,
    ),
    (
        2,
        (
            "家具包安装吗？",
            "满两千元免费上门安装，偏远地区除外。",
            "服务",
        ),
        0.8,
    ),
    (
        3,
        (
            "欧洲订单需要缴税吗？",
            "150 欧元以下已含增值税，无需另外缴纳。",
            "税费",
        ),
        0.83,
    ),
    (
        3,
        (
            "支持哪些国家退货？",
            "德国、法国、西班牙设有本地退货仓，其他国家请联系客服。",
            "售后",
        ),
        0.7,
    ),
    (
        4,
        (
            "课程可以回放吗？",
            "直播结束两小时后可回放，有效期一年。",
            "课程",
        ),
        0.9,
    ),
    (
        4,
        (
            "作文批改多久出结果？",
            "一般十分钟内，高峰期不超过一小时。",
            "服务",
        ),
        0.65,
    ),
];

/// A prompt; its versions, oldest first, with what each was made for; and which are in production and on trial.
#[derive(Debug)]
pub struct Prompt {
    pub name: &'static str,
    pub description: &'static str,
    pub versions: &'static [(&'static str, &'static str)],
    pub production: i64,
    pub staging: i64,
}

pub const PROMPTS: &[Prompt] = &[
    Prompt {
        name: "support/answer",
        description: "Answers questions of a merchant's customers",
        versions: &[
            (
                "You help the customers of {{merchant}}. Be brief.",
                "first words",
            ),
            (
                "You help the customers of {{merchant}}. Answer in the language of the question, in at most three sentences.",
                "in the customer's language",
            ),
            (
                "You help the customers of {{merchant}}. Answer in the language of the question, in at most three sentences. \
                 Promise nothing about prices or dates that you were not told.",
                "promises nothing",
            ),
        ],
        production: 2,
        staging: 3,
    },
    Prompt {
        name: "marketing/product-text",
        description: "Texts of product pages",
        versions: &[
            (
                "Write a product text of {{words}} words about {{product}}.",
                "first words",
            ),
            (
                "Write a product text of {{words}} words about {{product}}. No superlatives, no exclamation marks.",
                "calmer",
            ),
        ],
        production: 2,
        staging: 2,
    },
    Prompt {
        name: "translate/listing",
        description: "商品刊登翻译",
        versions: &[
            (
                "把下面的商品标题和描述翻译成{{language}}，保留型号和单位：",
                "第一版",
            ),
            (
                "把下面的商品标题和描述翻译成{{language}}，保留型号、单位和品牌名，不要添加原文没有的卖点：",
                "不添加卖点",
            ),
        ],
        production: 1,
        staging: 2,
    },
];

/// What a user says of an answer.
#[derive(Debug, PartialEq)]
pub struct Opinion {
    pub language: Language,
    pub stars: i64,
    pub category: &'static str,
    /// Empty when nothing more is said; so is the correction.
    pub comment: &'static str,
    pub correction: &'static str,
}

const fn opinion(
    language: Language,
    stars: i64,
    category: &'static str,
    comment: &'static str,
    correction: &'static str,
) -> Opinion {
    Opinion {
        language,
        stars,
        category,
        comment,
        correction,
    }
}

pub const OPINIONS: &[Opinion] = &[
    opinion(
        Language::English,
        5,
        "helpful",
        "Exactly what I needed.",
        "",
    ),
    opinion(Language::English, 5, "helpful", "", ""),
    opinion(
        Language::English,
        4,
        "helpful",
        "Good, though a little long.",
        "",
    ),
    opinion(
        Language::English,
        2,
        "incomplete",
        "It did not say how long that takes.",
        "",
    ),
    opinion(
        Language::English,
        1,
        "wrong",
        "The time for returns is wrong.",
        "Returns are possible within 30 days, unused, with the label from the account.",
    ),
    opinion(Language::Chinese, 5, "helpful", "回答得很清楚，谢谢！", ""),
    opinion(Language::Chinese, 4, "helpful", "", ""),
    opinion(
        Language::Chinese,
        2,
        "incomplete",
        "没有说运费由谁承担。",
        "",
    ),
    opinion(
        Language::Chinese,
        1,
        "wrong",
        "退货时间说错了。",
        "签收后七天内可以申请退货，商品不影响二次销售即可。",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::world::{KEYS, SUSPENDED_TENANT, TENANTS};

    #[test]
    fn every_merchant_knows_something_and_every_label_names_a_version() {
        for tenant in (0..TENANTS.len()).filter(|tenant| *tenant != SUSPENDED_TENANT) {
            assert!(PAIRS.iter().any(|(whose, ..)| *whose == tenant));
        }
        for prompt in PROMPTS {
            let versions = 1..=prompt.versions.len() as i64;
            assert!(versions.contains(&prompt.production) && versions.contains(&prompt.staging));
        }
        for key in KEYS {
            let mut theirs = OPINIONS.iter().filter(|one| one.language == key.language);
            assert!(theirs.any(|one| !one.correction.is_empty()));
        }
    }
}
