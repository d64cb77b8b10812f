import { expect, it } from 'vitest'
import { withoutHoles } from './days'

const day = (stat_date: string, daily_active_users: number) => ({
  stat_date,
  daily_active_users,
  jwt_active_users: 0,
  updated_at: '',
})

it('tells days without anybody as zero, over the end of a month too', () => {
  const days = withoutHoles([day('2026-02-27', 3), day('2026-03-02', 5)])
  expect(days.map((one) => [one.stat_date, one.daily_active_users])).toEqual([
    ['2026-02-27', 3],
    ['2026-02-28', 0],
    ['2026-03-01', 0],
    ['2026-03-02', 5],
  ])
})
it('goes back so far and no further', () => {
  const days = withoutHoles([day('2020-01-01', 1), day('2026-03-02', 5)], 3)
  expect(days.map((one) => one.stat_date)).toEqual(['2026-02-28', '2026-03-01', '2026-03-02'])
})
it('makes nothing of nothing', () => expect(withoutHoles([])).toEqual([]))
