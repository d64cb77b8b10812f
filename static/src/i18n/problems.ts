// What the server refuses, in the reader's language. The server speaks English; its codes are stable, so Chinese is kept here
// by code. Details (which field, which limit) stay as the server said them: they name things that have no translation.
import type { Problem } from '@/api/problem'
import { currentLocale, useShellText } from '@/i18n'

const zh: Record<string, string> = {
  token_missing: '没有提供 API 密钥。',
  token_invalid: '此 API 密钥不存在。',
  token_expired: 'API 密钥已过期。',
  user_token_invalid: '此用户令牌未被接受。',
  user_token_expired: '用户令牌已过期，请重新登录。',
  token_disabled: 'API 密钥已停用。',
  tenant_suspended: '此 API 密钥所属的租户已被停用。',
  model_not_allowed: '此 API 密钥不能使用该模型。',
  model_missing: '请求没有指明模型。',
  model_not_found: '没有上游账号提供该模型。',
  prompt_not_found: '没有这个提示词，或没有它的这个版本。',
  model_on_other_protocol: '该模型只在另一种协议上提供。',
  rate_limit_exceeded: '此 API 密钥每分钟的请求过多。',
  token_rate_limit_exceeded: '此 API 密钥每分钟使用的 token 过多。',
  concurrency_limit_exceeded: '此 API 密钥同时进行的调用过多。',
  insufficient_quota: '此 API 密钥的 token 配额已用完。',
  budget_exhausted: '此 API 密钥或其租户的预算已用完。',
  request_too_large: '请求内容过大。',
  invalid_json: '请求内容不是有效的 JSON。',
  invalid_request: '请求无效。',
  invalid_headers: '请求头互相矛盾。',
  unsupported_media_type: '不支持此内容类型或编码。',
  not_found: '这里什么也没有。',
  method_not_allowed: '此地址不接受该方法。',
  request_timeout: '请求到达得太慢。',
  client_closed_request: '客户端在回答结束前离开。',
  no_account: '没有为此协议设置上游账号。',
  upstream_unavailable: '提供该模型的上游账号全部出现故障。',
  upstream_busy: '提供该模型的上游账号都已达到并发上限。',
  upstream_unreachable: '无法连接上游。',
  upstream_broken: '上游的回答中断。',
  upstream_error: '上游返回错误。',
  upstream_credential: '上游拒绝了上游账号的凭据。',
  upstream_timeout: '上游没有及时回答。',
  ledger_full: '账本无法再接收记录。',
  shutting_down: '进程正在关闭。',
  overloaded: '服务器目前无法接收更多请求。',
  internal_error: 'Steward 内部出错。',
  unauthenticated: '您尚未登录。',
  invalid_credentials: '用户名或密码错误。',
  session_ended: '会话已结束。',
  forbidden: '您的角色没有此权限。',
  origin_refused: '请求来自其他网站。',
  password_change_required: '请先修改密码。',
  password_weak: '新密码强度不足。',
  validation_failed: '有些字段无效。',
  invalid_cursor: '分页游标无效。',
  invalid_range: '时间范围无效。',
  scan_budget_exceeded: '查询需要读取的数据过多。',
  ticket_invalid: '票据已使用、过期或不存在。',
  topic_unknown: '没有这个主题。',
  conflict: '与现有内容冲突。',
  in_use: '仍有其他内容在使用它。',
  last_administrator: '这是最后一位能够登录的管理员。',
  idempotency_mismatch: '此幂等键已用于另一个请求。',
  idempotency_in_progress: '使用此幂等键的第一个请求仍在进行。',
  precondition_failed: '在您读取之后，其他人已修改了它。',
  too_many_requests: '请求过多。',
  login_throttled: '登录失败次数过多。',
  egress_refused: '不能从这里调用此地址。',
  call_not_booked: '该调用尚未入账。',
  feedback_handled: '已有人处理了这条反馈。',
  job_not_cancellable: '任务已经结束。',
  unavailable: '所需的部分没有回应。',
}

/** What went wrong, in a few words. */
export function titleOf(problem: Problem): string {
  if (problem.isUnreachable) return useShellText()('error.unreachable')
  return (currentLocale() === 'zh-CN' && zh[problem.code]) || problem.title
}

/** What the server says beyond the title; empty when that is all. */
export function detailOf(problem: Problem): string {
  return problem.detail === problem.title ? '' : problem.detail
}

/** Both as one line: English details say what their title says. */
export function sentenceOf(problem: Problem): string {
  const detail = detailOf(problem)
  if (currentLocale() !== 'zh-CN' || !zh[problem.code]) return detail || titleOf(problem)
  return detail ? `${titleOf(problem)} ${detail}` : titleOf(problem)
}
