import { featureText } from '@/i18n'

export const useText = featureText(
  'settings',
  {
    title: 'Settings',
    subtitle: 'What changes while Steward runs. The rest stands in the configuration.',
    section: {
      prices: 'Money',
      conversations: 'Conversations',
      api: 'Limits of the console and its API',
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
    },
    range: 'Between {min} and {max}.',
    default: 'Default: {value}.',
    locked: 'Set by the environment',
    savedAt: 'Saved',
    reset: 'Default',
    resetNamed: 'Back to the default: {name}',
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
      conversations: '会话',
      api: '控制台与 API 限制',
    },
    of: {
      prices_currency: {
        label: '货币',
        explain: '默认以此货币显示费用。',
      },
      prices_usd_cny: {
        label: '美元兑人民币汇率',
        explain: '两种货币的费用按此汇率合并显示、排序并计入预算，已计费的金额不变。',
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
    },
    range: '取值范围 {min} 至 {max}。',
    default: '默认值：{value}。',
    locked: '由环境变量设定',
    savedAt: '保存于',
    reset: '恢复默认',
    resetNamed: '恢复默认：{name}',
    unsaved: '有 {n} 项修改尚未保存 | 有 {n} 项修改尚未保存',
    discard: '放弃',
    save: '保存修改',
    saved: '设置已保存，立即生效',
  },
)
