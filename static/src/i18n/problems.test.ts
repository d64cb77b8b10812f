import { afterEach, describe, expect, it } from 'vitest'
import catalog from '../../../docs/errors.md?raw'
import { Problem } from '@/api/problem'
import { setLocale } from '.'
import { detailOf, sentenceOf, titleOf } from './problems'

const problem = (code: string, title: string, detail: string) => new Problem(400, code, title, detail, null)

describe('what the server refuses', () => {
  afterEach(() => setLocale('en'))

  it('is told in English as it was said', () => {
    const range = problem('invalid_range', 'The time range is not valid.', 'from lies after to.')
    expect(titleOf(range)).toBe('The time range is not valid.')
    expect(sentenceOf(range)).toBe('from lies after to.')
    expect(sentenceOf(problem('forbidden', 'No.', ''))).toBe('No.')
  })

  it('has a Chinese title and keeps its detail', () => {
    setLocale('zh-CN')
    const range = problem('invalid_range', 'The time range is not valid.', 'from lies after to.')
    expect(titleOf(range)).toMatch(/^时间范围/)
    expect(sentenceOf(range)).toMatch(/^时间范围.* from lies after to\.$/)
    expect(detailOf(problem('forbidden', 'No.', 'No.'))).toBe('')
    expect(sentenceOf(problem('code_of_tomorrow', 'New.', 'New things.'))).toBe('New things.')
  })

  it('that was never reached is told in the words of the console, not of the browser', () => {
    const lost = Problem.from(new TypeError('Failed to fetch'))
    expect(sentenceOf(lost)).toBe('Steward cannot be reached')
    setLocale('zh-CN')
    expect([titleOf(lost), sentenceOf(lost)]).toEqual(['无法连接 Steward', '无法连接 Steward'])
  })

  it('knows every code of the catalog in Chinese', () => {
    setLocale('zh-CN')
    const codes = [...catalog.matchAll(/^\| `([a-z_]+)` \|/gm)].map((row) => row[1] ?? '')
    expect(codes.length).toBeGreaterThan(50)
    for (const code of codes) expect(titleOf(problem(code, 'English', '')), code).not.toBe('English')
  })
})

it('an account at a provider has one name in Chinese, which the pages have too', () => {
  setLocale('zh-CN')
  for (const code of [
    'model_not_found',
    'no_account',
    'upstream_unavailable',
    'upstream_busy',
    'upstream_credential',
  ]) {
    const title = titleOf(problem(code, 'An account.', ''))
    expect(title, code).toContain('上游账号')
    expect(title, code).not.toContain('账户')
  }
  setLocale('en')
})
