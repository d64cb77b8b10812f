//! What people ask and what models answer: templates, filled and shuffled by chance.
//!
//! Clients take questions from here, the pretended providers answers; the providers tell topic and language by
//! the text of the question alone, as they have nothing else.

use super::chance::Chance;
use super::world::{Language, Topic};

struct Texts {
    topic: Topic,
    language: Language,
    system: &'static str,
    questions: &'static [&'static str],
    sentences: &'static [&'static str],
}

const ITEMS_EN: &[&str] = &[
    "the Ridgeline 45 backpack",
    "order #20418",
    "the two-person tent",
    "my gift card",
    "the hardcover edition",
    "the wool base layer",
    "a replacement strap",
    "the camping stove",
];
const ITEMS_ZH: &[&str] = &[
    "实木餐桌",
    "订单 20418",
    "北欧布艺沙发",
    "遮光窗帘",
    "可折叠收纳箱",
    "乳胶床垫",
    "落地灯",
    "儿童学习桌",
];

const TEXTS: &[Texts] = &[
    Texts {
        topic: Topic::Support,
        language: Language::English,
        system: "You are the help desk of an online shop. Be brief, friendly and exact; never promise a refund that the policy does not allow.",
        questions: &[
            "Where is {item}? It was supposed to arrive on Tuesday.",
            "I would like to return {item}. What do I have to do?",
            "Can I still change the delivery address for {item}?",
            "{item} arrived damaged, the seam is torn. What now?",
            "Is {item} covered by the warranty if the zip breaks?",
            "Do you have {item} in another colour, and when is it back in stock?",
        ],
        sentences: &[
            "Thanks for writing in, and sorry for the trouble. ",
            "I looked it up: the parcel left our warehouse on Monday and is with the carrier now. ",
            "Delivery usually takes two to four working days, and you can follow it with the link in your confirmation. ",
            "You can send it back free of charge within thirty days, unused and in its original packaging. ",
            "Please print the label from your account under Orders, then drop the parcel at any pick-up point. ",
            "The refund reaches your card three to five days after the parcel is with us. ",
            "If a part is missing, a photo of the packing slip is enough for us to send it again. ",
            "The warranty covers seams and zips for two years; ordinary wear is not included. ",
            "Is there anything else I can do for you? ",
        ],
    },
    Texts {
        topic: Topic::Support,
        language: Language::Chinese,
        system: "你是家居旗舰店的在线客服。回答简洁、礼貌、准确，不承诺政策之外的退款。",
        questions: &[
            "你好，{item}什么时候能发货？",
            "{item}收到了，但是有一处划痕，可以换一件吗？",
            "请问{item}支持七天无理由退货吗？",
            "{item}的尺寸是多少，能放进一米二的角落吗？",
            "客服在吗？{item}的发票怎么开？",
            "{item}和图片颜色不太一样，是批次的问题吗？",
        ],
        sentences: &[
            "亲，您好，感谢您的咨询。",
            "已经帮您查询到，商品目前在仓库打包，预计今天晚上发出。",
            "发货之后一般两到三天送达，偏远地区会稍微晚一些。",
            "签收七天之内，不影响二次销售的情况下可以申请退换，运费由我们承担。",
            "麻烦您拍一张清晰的照片发过来，我马上为您登记补发。",
            "电子发票会在确认收货之后二十四小时内发送到您的邮箱。",
            "由于灯光和显示器的差异，实物与图片会有轻微色差，属于正常情况。",
            "安装视频在商品详情页，也可以预约师傅上门。",
            "请问还有其他可以帮到您的吗？",
        ],
    },
    Texts {
        topic: Topic::Marketing,
        language: Language::English,
        system: "You write copy for a newsletter. Warm, concrete, no exclamation marks.",
        questions: &[
            "Write a short newsletter paragraph about {item}.",
            "Three subject lines for a spring campaign around {item}, please.",
            "Draft a product description of {item} for beginners.",
        ],
        sentences: &[
            "Spring mornings are cold, and the best trails are empty before eight. ",
            "It packs small, weighs little and forgives a careless evening by the fire. ",
            "We tested it for a season on wet ridges and dry riverbeds. ",
            "What you notice first is how little you notice it. ",
            "Made in small batches, repaired for free, built to be handed on. ",
            "Subject: Leave before the sun does. ",
            "Subject: Fewer things, better ones. ",
            "Reply to this mail and a real person will answer. ",
        ],
    },
    Texts {
        topic: Topic::Marketing,
        language: Language::Chinese,
        system: "你是电商文案编辑。语言自然、有画面感，不用夸张词汇，符合广告法。",
        questions: &[
            "帮{item}写一段商品详情页文案，一百字左右。",
            "给{item}想三个活动标题，风格温暖一些。",
            "写一条推广{item}的朋友圈文案，不要太像广告。",
        ],
        sentences: &[
            "周末的早晨，阳光从窗边斜斜地落进来，家里安静得刚刚好。",
            "选用整块木料，保留天然的纹理，每一件都略有不同。",
            "边角经过三次手工打磨，孩子奔跑也不用担心磕碰。",
            "看得见的用料，摸得到的细节，用得久的安心。",
            "不占地方，却让日子多了一点从容。",
            "标题一：把春天请进客厅。",
            "标题二：好好吃饭，好好生活。",
            "现在下单，免费送货上门并安装。",
        ],
    },
    Texts {
        topic: Topic::Translation,
        language: Language::Chinese,
        system: "你是跨境电商翻译。把商品信息在中文和英文之间互译，保留规格和单位，只输出译文。",
        questions: &[
            "翻译成英文：{item}，环保材质，承重一百公斤，适合小户型。",
            "把下面的标题翻译成英文，不超过八十个字符：{item} 北欧简约 现货包邮",
            "翻译成中文：Solid oak, waterproof finish, easy to assemble, 2-year warranty.",
        ],
        sentences: &[
            "Made from eco-friendly materials, supports up to 100 kg, ideal for small apartments. ",
            "Nordic minimalist design, in stock, free shipping. ",
            "Easy to assemble in ten minutes; all tools included. ",
            "实心橡木，防水涂层，安装简便，质保两年。",
            "Waterproof and stain-resistant; wipe clean with a damp cloth. ",
            "尺寸误差在一到三厘米之内，请以实物为准。",
        ],
    },
    Texts {
        topic: Topic::Coding,
        language: Language::English,
        system: "You review merge requests. Point at lines, say why, propose the smallest fix.",
        questions: &[
            "Review this function: `fn total(items: &[Item]) -> u32 { items.iter().map(|i| i.price * i.count).sum() }`",
            "Why does my SQL query on the orders table scan every row although created_at has an index?",
            "Refactor this Python function so that the retry code is not duplicated.",
            "Write a unit test for a parser that must refuse nested quotes.",
        ],
        sentences: &[
            "The multiplication can overflow for large orders; `checked_mul` with an error is the smallest fix. ",
            "The function wraps the column in `date(...)`, so the index on it cannot be used; compare with a range instead. ",
            "I would move the retry into a decorator and leave the call itself alone:\n\n```python\n@retry(times=3, on=TimeoutError)\ndef fetch(url):\n    return client.get(url, timeout=5)\n```\n\n",
            "Two cases are not covered by the tests: an empty list, and a quote that is never closed. ",
            "```rust\n#[test]\nfn nested_quotes_are_refused() {\n    assert!(parse(\"\\\"a \\\"b\\\" c\\\"\").is_err());\n}\n```\n\n",
            "The name says what it does but not the unit; `total_cents` would. ",
            "Otherwise this is fine to merge. ",
        ],
    },
    Texts {
        topic: Topic::Study,
        language: Language::English,
        system: "You are a patient companion for readers and learners. Ask one question back, never give the whole answer away.",
        questions: &[
            "Why does the narrator in chapter three hide the letter?",
            "Explain the difference between 'I have been' and 'I had been' with examples.",
            "Summarise the chapter I just read in three sentences, without spoilers.",
            "Let us practise small talk at the airport. You begin.",
        ],
        sentences: &[
            "Good question, and the author leaves it open on purpose. ",
            "Look at what he says about his brother two pages earlier. ",
            "'I have been' reaches into the present; 'I had been' ends before another moment in the past. ",
            "For example: I had been waiting for an hour when the train came. ",
            "The chapter moves from the harbour to the house, and from certainty to doubt. ",
            "Notice how the weather changes with his mood. ",
            "Welcome! Where are you flying today, and is it your first time there? ",
            "What would you have done in her place? ",
        ],
    },
    Texts {
        topic: Topic::Study,
        language: Language::Chinese,
        system: "你是一位耐心的语文老师。先肯定优点，再指出一到两处可以改进的地方，并给出修改示例。",
        questions: &[
            "请批改这篇作文：《我的家乡》。春天来了，小河解冻了，柳树发芽了，我和爷爷去钓鱼。",
            "这段作文的结尾怎么写得更有力量？",
            "请解释“画龙点睛”的意思，并造两个句子。",
        ],
        sentences: &[
            "这篇作文感情真挚，开头的景物描写很有画面感。",
            "建议在写爷爷的部分增加一个动作细节，比如他怎样甩竿、怎样等待。",
            "“小河解冻了”可以改成“薄冰在正午悄悄裂开，河水又开始说话了”。",
            "段落之间缺少过渡，可以用时间或者地点来连接。",
            "结尾可以回到题目，让读者感受到你对家乡的牵挂。",
            "“画龙点睛”比喻在关键的地方用一两句话点明要旨，使内容更加生动。",
            "例如：文章最后一句话真是画龙点睛。",
            "总体评分：八十八分，继续加油。",
        ],
    },
    Texts {
        topic: Topic::Search,
        language: Language::English,
        system: "",
        questions: &[
            "{item}: waterproof, lightweight, packs small, two-year warranty",
            "warm sleeping bag for late autumn, below one kilogram",
        ],
        sentences: &["It matches. "],
    },
    Texts {
        topic: Topic::Search,
        language: Language::Chinese,
        system: "",
        questions: &[
            "{item}的保养方法：避免阳光直射，使用干布擦拭。",
            "退换货政策：签收七日内可申请，定制商品除外。",
        ],
        sentences: &["匹配。"],
    },
];

fn texts(topic: Topic, language: Language) -> &'static Texts {
    let fitting = |texts: &&Texts| texts.topic == topic && texts.language == language;
    TEXTS
        .iter()
        .find(fitting)
        .or_else(|| TEXTS.iter().find(|texts| texts.topic == topic))
        .unwrap_or(&TEXTS[0])
}

/// What an application tells the model about its job.
pub fn system(topic: Topic, language: Language) -> &'static str {
    texts(topic, language).system
}

/// What somebody asks.
pub fn question(topic: Topic, language: Language, chance: &mut Chance) -> String {
    let template = chance.pick(texts(topic, language).questions).copied();
    let item = chance.pick(items(language)).copied().unwrap_or_default();
    let asked = template.unwrap_or_default().replace("{item}", item);
    // A sentence that begins with what it is about still begins with a capital.
    let mut letters = asked.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn items(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => ITEMS_EN,
        Language::Chinese => ITEMS_ZH,
    }
}

/// Background that applications put before the question: how similar ones were answered, each with its number.
pub fn background(topic: Topic, language: Language, chance: &mut Chance) -> String {
    let Texts {
        sentences,
        questions,
        ..
    } = texts(topic, language);
    let about_items = questions.iter().any(|question| question.contains("{item}"));
    let many = chance.log_normal(14.0, 0.7).min(80.0) as usize;
    let mut number = 10_000 + chance.below(40_000);
    let cases: String = (0..many)
        .filter_map(|_| {
            number += 1 + chance.below(600);
            let item = chance
                .pick(items(language))
                .copied()
                .filter(|_| about_items);
            let said = chance.pick(sentences)?.trim_end();
            Some(match (language, item) {
                (Language::English, Some(item)) => format!("- {number} ({item}): {said}\n"),
                (Language::English, None) => format!("- {number}: {said}\n"),
                (Language::Chinese, Some(item)) => {
                    format!("- {number}\u{ff08}{item}\u{ff09}\u{ff1a}{said}\n")
                }
                (Language::Chinese, None) => format!("- {number}\u{ff1a}{said}\n"),
            })
        })
        .collect();
    match language {
        _ if cases.is_empty() => cases,
        Language::English => format!("Similar questions were answered so:\n\n{cases}"),
        Language::Chinese => format!("相似问题的答复\u{ff1a}\n\n{cases}"),
    }
}

/// What one person asks and is answered, `many` times. The same draws begin alike: with a chance of its own, a
/// conversation tells the same from call to call.
pub fn exchanges(
    topic: Topic,
    language: Language,
    many: usize,
    chance: &mut Chance,
) -> Vec<(String, String)> {
    let sentences = texts(topic, language).sentences;
    (0..many)
        .map(|_| {
            let asked = question(topic, language, chance);
            let (from, long) = (chance.below(sentences.len()), 2 + chance.below(2));
            let told = sentences.iter().cycle().skip(from).take(long);
            let said: String = told.copied().collect();
            (asked, said.trim_end().to_owned())
        })
        .collect()
}

/// Topic and language of a question, as far as its words tell.
pub fn recognise(question: &str) -> (Topic, Language) {
    let hanzi = |text: &str| {
        text.chars()
            .filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c))
            .count()
    };
    let language = if hanzi(question) * 4 > question.chars().count() {
        Language::Chinese
    } else {
        Language::English
    };
    const SIGNS: &[(Topic, &[&str])] = &[
        (Topic::Translation, &["翻译"]),
        (Topic::Coding, &["function", "SQL", "unit test", "`"]),
        (
            Topic::Study,
            &[
                "作文",
                "造两个句子",
                "chapter",
                "examples",
                "practise",
                "spoilers",
            ],
        ),
        (
            Topic::Marketing,
            &[
                "文案",
                "标题",
                "newsletter",
                "subject lines",
                "product description",
            ],
        ),
    ];
    let told = SIGNS
        .iter()
        .find(|(_, words)| words.iter().any(|word| question.contains(word)));
    (told.map_or(Topic::Support, |(topic, _)| *topic), language)
}

/// An answer of about `tokens` tokens, in the pieces in which it is streamed.
pub fn answer(question: &str, tokens: usize, chance: &mut Chance) -> Vec<String> {
    let (topic, language) = recognise(question);
    let sentences = texts(topic, language).sentences;
    let mut pieces = Vec::new();
    let mut at = chance.below(sentences.len());
    while pieces.len() < tokens.max(1) {
        pieces.extend(tokens_of(sentences[at % sentences.len()]));
        at += 1 + chance.below(2);
    }
    pieces.truncate(tokens.max(1));
    pieces
}

/// Cuts a text into pieces of the size of tokens: words with the space before them, or two Chinese characters.
fn tokens_of(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for character in text.chars() {
        let wide = character > '\u{2e7f}';
        match pieces.last_mut() {
            Some(piece)
                if wide && piece.chars().count() < 2 && piece.chars().all(|c| c > '\u{2e7f}') =>
            {
                piece.push(character);
            }
            Some(piece)
                if !wide
                    && !character.is_whitespace()
                    && piece.chars().last().is_some_and(|c| c <= '\u{2e7f}')
                    && piece.len() < 9 =>
            {
                piece.push(character);
            }
            _ => pieces.push(character.to_string()),
        }
    }
    pieces
}

/// How many tokens a text would be, roughly.
pub fn token_count(text: &str) -> i64 {
    let (wide, narrow) = text.chars().fold((0.0, 0.0), |(wide, narrow), character| {
        if character > '\u{2e7f}' {
            (wide + 1.0, narrow)
        } else {
            (wide, narrow + 1.0)
        }
    });
    (wide * 0.65 + narrow / 4.2_f64) as i64 + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_recognises_what_is_asked() {
        let mut chance = Chance::of(7, &[]);
        for texts in TEXTS.iter().filter(|texts| texts.topic != Topic::Search) {
            for _ in 0..40 {
                let question = question(texts.topic, texts.language, &mut chance);
                assert!(!question.contains("{item}"), "{question}");
                let (topic, language) = recognise(&question);
                assert_eq!(topic, texts.topic, "{question}");
                if topic != Topic::Translation {
                    assert_eq!(language, texts.language, "{question}");
                }
            }
        }
    }

    #[test]
    fn background_repeats_no_line_and_speaks_its_language() {
        let mut chance = Chance::of(7, &[]);
        for (language, first) in [(Language::English, "Similar"), (Language::Chinese, "相似")] {
            for _ in 0..40 {
                let known = background(Topic::Support, language, &mut chance);
                let mut lines = known.lines();
                assert!(lines.next().is_some_and(|line| line.starts_with(first)));
                assert_eq!(lines.next(), Some(""));
                let cases: Vec<&str> = lines.collect();
                assert!(!cases.is_empty() && cases.iter().all(|it| it.starts_with("- ")));
                let different: std::collections::HashSet<_> = cases.iter().collect();
                assert_eq!(different.len(), cases.len(), "{known}");
            }
        }
    }

    #[test]
    fn a_conversation_tells_the_same_from_call_to_call() {
        for language in [Language::English, Language::Chinese] {
            let talk = |many| {
                let mut chance = Chance::of(7, &[]);
                let said = exchanges(Topic::Support, language, many, &mut chance);
                (said, question(Topic::Support, language, &mut chance))
            };
            let (all, _) = talk(4);
            for many in 0..4 {
                let (said, asked) = talk(many);
                assert_eq!(said, all[..many]);
                assert_eq!(asked, all[many].0);
            }
            for (asked, said) in all {
                assert_eq!(recognise(&asked), (Topic::Support, language), "{asked}");
                assert!(!said.is_empty() && said == said.trim_end(), "{said:?}");
            }
        }
    }

    #[test]
    fn answers_have_the_length_asked_for_and_differ() {
        let mut chance = Chance::of(7, &[]);
        let question = "你好，落地灯什么时候能发货？";
        let answers: Vec<String> = (0..20)
            .map(|_| {
                let pieces = answer(question, 80, &mut chance);
                assert_eq!(pieces.len(), 80);
                pieces.concat()
            })
            .collect();
        let different: std::collections::HashSet<_> = answers.iter().collect();
        assert!(different.len() > 5);
        assert!(answers[0].chars().any(|c| c > '\u{4e00}'));
        assert_eq!(
            tokens_of("Thanks for 您好，亲").concat(),
            "Thanks for 您好，亲"
        );
    }
}
