import { featureText } from '@/i18n'

export const useText = featureText(
  'logs',
  {
    title: 'System logs',
    subtitle: 'What the process itself reports: its latest lines, without secrets',
    empty: 'Nothing was reported at this level',
    emptyBody: 'Choose a lower level to see more. Older lines are in the log of the process itself.',
    fresh: 'No new lines | 1 new line | {n} new lines',
    export: 'Export',
    dropped: '{n} lines came too fast to be kept',
    col: { time: 'Time', level: 'Level', source: 'Source', message: 'Message', user: 'User' },
    filter: { level: 'Level', source: 'Source', keyword: 'Contains' },
    from: {
      ERROR: 'Errors',
      WARN: 'Warnings and worse',
      INFO: 'Information and worse',
      DEBUG: 'Debug and worse',
      TRACE: 'Everything',
    },
    detail: {
      request: 'Request id',
      fields: 'Fields',
      onlySource: 'Only this source',
      onlyRequest: 'Only this request',
    },
  },
  {
    title: '系统日志',
    subtitle: '进程自身报告的内容：最近的日志行，不含密钥',
    empty: '此级别没有日志',
    emptyBody: '选择更低的级别可查看更多内容。更早的日志行在进程自身的日志中。',
    fresh: '没有新的日志行 | 1 行新日志 | {n} 行新日志',
    export: '导出',
    dropped: '有 {n} 行日志因产生过快而未能保留',
    col: { time: '时间', level: '级别', source: '来源', message: '消息', user: '用户' },
    filter: { level: '级别', source: '来源', keyword: '包含' },
    from: {
      ERROR: '错误',
      WARN: '警告及更严重',
      INFO: '信息及更严重',
      DEBUG: '调试及更严重',
      TRACE: '全部',
    },
    detail: { request: '请求 id', fields: '字段', onlySource: '只看此来源', onlyRequest: '只看此请求' },
  },
)
