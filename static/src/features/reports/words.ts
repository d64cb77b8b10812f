// A report in words.
import { useText } from './messages'
import { ranges, type Report } from './report'

const weekdays = ['1', '2', '3', '4', '5', '6', '7'] as const

export function useWords() {
  const t = useText()
  function range(written: string): string {
    const named = ranges.find((one) => one === written)
    return named ? t(`range.${named}`) : written
  }
  return {
    tells: (report: Report) => t('tells', { range: range(report.range), group: t(`group.${report.group_by}`) }),
    schedule(report: Report): string {
      const { schedule } = report
      if (!schedule) return t('never')
      const { at } = schedule
      if (schedule.every === 'week')
        return t('due.week', { at, weekday: t(`weekday.${weekdays[(schedule.weekday ?? 1) - 1] ?? '1'}`) })
      return schedule.every === 'month' ? t('due.month', { at, day: schedule.day ?? 1 }) : t('due.day', { at })
    },
  }
}
