import { featureText } from '@/i18n'

export const useText = featureText(
  'settings',
  {
    title: 'Settings',
    subtitle: 'What changes while Steward runs. The rest stands in the configuration.',
    section: {
      prices: 'Money',
      gateway: 'Calls to providers',
      ledger: 'The books',
      stats: 'Statistics',
      conversations: 'Conversations',
      api: 'Limits of the console and its API',
      alerts: 'Alerts and notices',
      push: 'What is live',
      feedback: 'Feedback',
      log: 'System log',
      retention: 'Days that things are kept',
      archive: 'Archive',
      scheduler: 'Learning',
      rag: 'Search in the knowledge',
    },
    of: {
      prices_currency: {
        label: 'Currency',
        explain: 'What costs are shown in unless somebody chooses another.',
      },
      prices_usd_cny: {
        label: 'Yuan for a US dollar',
        explain: 'Costs in two currencies are shown, ranked and held against budgets by it. What was charged stays.',
      },
      gateway_connect_timeout_ms: {
        label: 'Wait for a connection to a provider, ms',
        explain: 'Name, TCP and TLS together. Then another account is tried.',
      },
      gateway_first_byte_timeout_ms: {
        label: 'Wait for the first byte of an answer, ms',
        explain:
          'Then the call fails: it may have been made and billed, so no other account is asked. Calls under way keep what held when they began to wait.',
      },
      gateway_idle_timeout_ms: {
        label: 'Longest silence inside an answer, ms',
        explain: 'Then the answer is broken off.',
      },
      gateway_max_attempts: {
        label: 'Accounts tried for a call',
        explain: 'Before the first byte only.',
      },
      ledger_queue_capacity: {
        label: 'Records kept in memory until written',
        explain: 'More are read again from the disk when their turn comes.',
      },
      ledger_batch_size: {
        label: 'Records written together',
        explain: 'As soon as so many wait; five times as many when they have piled up.',
      },
      ledger_flush_interval_ms: {
        label: 'Longest wait of a record, ms',
        explain: 'Then it is written, however few wait.',
      },
      stats_aggregation_interval_s: {
        label: 'Seconds between derivations of a day',
        explain:
          'Active users, conversations and the dashboard of each day. Hours and days are counted with every call.',
      },
      conversations_enabled: {
        label: 'Keep conversations',
        explain: 'Of the API keys that ask for it. Off, nothing new is kept; what was kept stays.',
      },
      conversations_max_bytes_per_side: {
        label: 'Bytes kept of a request or an answer',
        explain: 'What is longer is cut, and says so.',
      },
      conversations_compress_after_days: {
        label: 'Days until conversations are packed',
        explain: 'Packed conversations are read and found all the same.',
      },
      api_rate_limit_per_operator: {
        label: 'Requests a minute of an operator',
        explain: 'More are refused with 429.',
      },
      api_rate_limit_per_address: {
        label: 'Requests a minute of an address',
        explain: 'More are refused with 429.',
      },
      alerts_interval_ms: {
        label: 'Between two evaluations of alert rules (ms)',
        explain: 'A rule that waits (for) needs several of them.',
      },
      alerts_group_window_s: {
        label: 'Seconds in which notices are gathered',
        explain: 'For chats and mail: what comes within it goes out as one message; 0: each by itself.',
      },
      alerts_mails_per_hour: {
        label: 'Mails an hour and recipient',
        explain: 'What comes beyond them goes out as one digest every quarter of an hour.',
      },
      push_interval_ms: {
        label: 'Between two sendings of numbers and calls (ms)',
        explain: 'To whoever watches them. Longer spares slow lines.',
      },
      feedback_per_minute: {
        label: 'Feedback a minute of an API key',
        explain: 'Or of one signed-in user. More is refused with 429.',
      },
      log_stored_level: {
        label: 'Level that is stored',
        explain: 'Lines so bad, or worse, stay for weeks. The others are there while they are among the latest.',
      },
      retention_request_logs_days: {
        label: 'Calls',
        explain: 'Who, what, how long, how much. Sums by the day stay for ever.',
      },
      retention_contents_days: {
        label: 'What was said',
        explain: 'Where it is kept at all; apart from the calls.',
      },
      retention_system_logs_days: {
        label: 'System log',
        explain: 'Lines that are stored.',
      },
      retention_health_checks_days: {
        label: 'Looks at components',
        explain: 'Availability is told over thirty days.',
      },
      retention_metrics_snapshots_days: {
        label: 'Measured values',
        explain: 'Lines of metrics reach back so far.',
      },
      retention_deliveries_days: {
        label: 'Notices',
        explain: 'Those that left or were given up, and each attempt.',
      },
      retention_alerts_days: {
        label: 'Incidents',
        explain: 'Those that are over.',
      },
      archive_enabled: {
        label: 'Archive months',
        explain: 'Calls and conversations are written to files that stay; none goes before it is.',
      },
      archive_after_days: {
        label: 'Days after the end of a month',
        explain: 'Then it is archived.',
      },
      scheduler_process_interval: {
        label: 'Seconds between two looks at approved feedback',
        explain: 'What it teaches becomes candidates for pairs.',
      },
      scheduler_auto_learn_enabled: {
        label: 'Learn by itself',
        explain: 'A candidate becomes a pair, unless one asks the same. Off, every candidate waits for somebody.',
      },
      scheduler_sync_interval: {
        label: 'Seconds between two looks at what is to be embedded',
        explain: 'What failed waits longer.',
      },
      scheduler_batch_size: {
        label: 'Pairs embedded by one call',
        explain: 'Of one tenant each; and the approved feedback that is looked at together.',
      },
      scheduler_auto_sync_enabled: {
        label: 'Embed pairs as they come',
        explain: 'Off, only when somebody asks for it.',
      },
      rag_top_k: { label: 'Pairs that a question finds', explain: 'At most, unless the request says otherwise.' },
      rag_min_score: { label: 'How near they have to be', explain: 'The cosine: 1 means the same, 0 nothing alike.' },
    },
    range: 'Between {min} and {max}.',
    rangeDays: 'Between {min} and {max} days; 0 is for ever.',
    default: 'Default: {value}.',
    locked: 'Set by the environment',
    savedAt: 'Saved',
    savedIs: 'Saved: {value}',
    reset: 'Default',
    resetNamed: 'Back to the default: {name}',
    resetAll: 'All to the default',
    resetGroup: 'All to the default: {name}',
    toCare: 'Restart the scheduler, clear the cache',
    unsaved: 'One change is not saved | {n} changes are not saved',
    discard: 'Discard',
    save: 'Save changes',
    saved: 'The settings are saved and in force',
  },
  {
    title: '系统设置',
    subtitle: '运行期间可以修改的设置。其余内容见配置文件。',
    section: {
      prices: '费用',
      gateway: '上游调用',
      ledger: '账本',
      stats: '统计',
      conversations: '会话',
      api: '控制台与 API 限制',
      alerts: '告警与通知',
      push: '实时推送',
      feedback: '反馈',
      log: '系统日志',
      retention: '保留天数',
      archive: '归档',
      scheduler: '学习调度器',
      rag: '知识检索',
    },
    of: {
      prices_currency: {
        label: '货币',
        explain: '默认以此货币显示费用。',
      },
      prices_usd_cny: {
        label: '美元兑人民币汇率',
        explain: '从今天起，两种货币的费用按此汇率合并显示、排序并计入预算；过去每天仍按当天的汇率，已计费的金额不变。',
      },
      gateway_connect_timeout_ms: {
        label: '等待连接上游的时间（毫秒）',
        explain: '包含域名解析、TCP 与 TLS。超时后改试另一个账号。',
      },
      gateway_first_byte_timeout_ms: {
        label: '等待回答首字节的时间（毫秒）',
        explain: '超时后调用失败：请求可能已被处理并计费，因此不再改试其他账号。进行中的等待不受影响。',
      },
      gateway_idle_timeout_ms: {
        label: '回答中最长的静默时间（毫秒）',
        explain: '超时后回答中断。',
      },
      gateway_max_attempts: {
        label: '每次调用尝试的账号数',
        explain: '仅限首字节到达之前。',
      },
      ledger_queue_capacity: {
        label: '内存中等待写入的记录数',
        explain: '超出的记录轮到时再从磁盘读取。',
      },
      ledger_batch_size: {
        label: '每批写入的记录数',
        explain: '达到该数量即写入；积压时一次最多写入五倍。',
      },
      ledger_flush_interval_ms: {
        label: '记录最长等待时间（毫秒）',
        explain: '到时即写入，无论有多少条。',
      },
      stats_aggregation_interval_s: {
        label: '每日指标的计算间隔（秒）',
        explain: '活跃用户、会话数和总览的每日数据。小时与每日统计随每次调用更新。',
      },
      conversations_enabled: {
        label: '保存会话',
        explain: '仅限开启了会话记录的 API 密钥。关闭后不再保存新内容，已保存的保留。',
      },
      conversations_max_bytes_per_side: {
        label: '每个请求或回答保存的字节数',
        explain: '超出部分会被截断并标明。',
      },
      conversations_compress_after_days: {
        label: '会话压缩前的天数',
        explain: '压缩后仍可阅读和搜索。',
      },
      api_rate_limit_per_operator: {
        label: '每位操作员每分钟的请求数',
        explain: '超出的请求返回 429。',
      },
      api_rate_limit_per_address: {
        label: '每个地址每分钟的请求数',
        explain: '超出的请求返回 429。',
      },
      alerts_interval_ms: {
        label: '告警规则的评估间隔（毫秒）',
        explain: '设置了持续时间（for）的规则需要多次评估。',
      },
      alerts_group_window_s: {
        label: '通知合并的时间（秒）',
        explain: '适用于聊天与邮件：此时间内的通知合为一条；0 表示逐条发送。',
      },
      alerts_mails_per_hour: {
        label: '每位收件人每小时的邮件数',
        explain: '超出的通知每一刻钟汇总发送一次。',
      },
      push_interval_ms: { label: '推送间隔（毫秒）', explain: '向正在查看的人发送数字与调用的间隔；线路慢时可调长。' },
      feedback_per_minute: {
        label: '每个 API 密钥每分钟的反馈数',
        explain: '或每位已登录用户。超出的以 429 拒绝。',
      },
      log_stored_level: {
        label: '存储的级别',
        explain: '此级别及更严重的日志会保留数周，其余只在最近的日志行中。',
      },
      retention_request_logs_days: {
        label: '调用',
        explain: '谁、做了什么、多久、多少。每日汇总永久保留。',
      },
      retention_contents_days: {
        label: '对话内容',
        explain: '仅限已保存的内容，与调用分开。',
      },
      retention_system_logs_days: {
        label: '系统日志',
        explain: '已存储的日志行。',
      },
      retention_health_checks_days: {
        label: '组件检查',
        explain: '可用率按三十天统计。',
      },
      retention_metrics_snapshots_days: {
        label: '测量值',
        explain: '指标曲线可回溯的时间。',
      },
      retention_deliveries_days: {
        label: '通知',
        explain: '已发送或已放弃的通知及每次尝试。',
      },
      retention_alerts_days: {
        label: '事件',
        explain: '已结束的事件。',
      },
      archive_enabled: {
        label: '按月归档',
        explain: '调用与对话写入长期保存的文件，归档之前不会删除。',
      },
      archive_after_days: {
        label: '月份结束后的天数',
        explain: '届时归档该月。',
      },
      scheduler_process_interval: { label: '反馈处理间隔（秒）', explain: '已批准的反馈会成为问答候选。' },
      scheduler_auto_learn_enabled: {
        label: '自动学习',
        explain: '候选自动成为问答，除非已有相同的问题；关闭后一律等待人工决定。',
      },
      scheduler_sync_interval: { label: '同步间隔（秒）', explain: '失败的会等待更久。' },
      scheduler_batch_size: {
        label: '批处理大小',
        explain: '一次调用转换的问答数，每次只属于一个租户；也是一起查看的已批准反馈数。',
      },
      scheduler_auto_sync_enabled: { label: '自动同步', explain: '关闭后仅在有人要求时同步。' },
      rag_top_k: { label: '返回的问答数', explain: '请求未另行指定时的上限。' },
      rag_min_score: { label: '最低相似度', explain: '余弦值：1 为含义相同，0 为毫不相关。' },
    },
    range: '取值范围 {min} 至 {max}。',
    rangeDays: '{min} 至 {max} 天；0 表示永久。',
    default: '默认值：{value}。',
    locked: '由环境变量设定',
    savedAt: '保存于',
    savedIs: '已保存的值：{value}',
    reset: '恢复默认',
    resetNamed: '恢复默认：{name}',
    resetAll: '全部恢复默认',
    resetGroup: '全部恢复默认：{name}',
    toCare: '重启调度器、清除缓存',
    unsaved: '有 {n} 项修改尚未保存 | 有 {n} 项修改尚未保存',
    discard: '放弃',
    save: '保存修改',
    saved: '设置已保存，立即生效',
  },
)
