import { featureText } from '@/i18n'

export const useText = featureText(
  'audit',
  {
    title: 'Audit',
    subtitle: 'Who changed what and when, written together with the change',
    empty: 'Nothing has been changed yet',
    search: 'Search changes',
    col: { time: 'Time', operator: 'Operator', action: 'Action', target: 'Target', address: 'Address' },
    filter: { operator: 'Operator', action: 'Action', target_type: 'Kind of target', target_id: 'Target id' },
    detail: {
      change: 'What changed',
      other: 'Details',
      nothing: 'No further details were recorded.',
      request: 'Request id',
      toTarget: 'Open the target',
      only: 'Only this operator',
      onlyTarget: 'Only this target',
      gone: 'There is no such entry',
    },
  },
  {
    title: '审计',
    subtitle: '谁在什么时间改了什么，与变更一同写入',
    empty: '还没有任何变更',
    search: '搜索变更',
    col: { time: '时间', operator: '操作员', action: '操作', target: '对象', address: '地址' },
    filter: { operator: '操作员', action: '操作', target_type: '对象类型', target_id: '对象 id' },
    detail: {
      change: '变更内容',
      other: '详情',
      nothing: '没有更多记录。',
      request: '请求 id',
      toTarget: '打开对象',
      only: '只看这位操作员',
      onlyTarget: '只看这个对象',
      gone: '没有这条记录',
    },
  },
)
