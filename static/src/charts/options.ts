// What a chart shows, turned into the library's options. Pure: colours are passed in.
import type { EChartsOption } from 'echarts'

export interface Series {
  name: string
  /** What it stands for, where it can be chosen. */
  key?: string
  values: readonly (number | null)[]
  /** A token name: `accent`, `bad`, `series-2`, … */
  colour: string
  /** Failures are dashed, so that they are told apart without colour. */
  dashed?: boolean
  stack?: string
  /** A course of the past: its last bucket is over, whatever the chart's is. */
  isPast?: boolean
}

export interface Drawing {
  kind: 'line' | 'area' | 'bar'
  x: readonly string[]
  series: readonly Series[]
  unit: (value: number) => string
  /** Counts of things: no line stands between two of them. */
  whole?: boolean
  /** The last bucket goes on: it is drawn hollow or dotted, so that nobody takes what is still to come for a fall. */
  unfinished?: boolean
  /** What a bucket that goes on is called. */
  soFar: (label: string) => string
  colour: (token: string) => string
}

/** What a bucket is called, with a word about the one that goes on. */
export const bucketName = ({ x, unfinished, soFar }: Pick<Drawing, 'x' | 'unfinished' | 'soFar'>, index: number) =>
  unfinished && index === x.length - 1 ? soFar(x[index] ?? '') : (x[index] ?? '')

/** A colour with little of it left, for what is not there yet. */
const faint = (colour: string) => (/^#[0-9a-f]{6}$/i.test(colour) ? `${colour}2e` : 'transparent')

function bars({ colour, unfinished }: Drawing, series: Series) {
  const own = colour(series.colour)
  const last = series.values.length - 1
  const hollow = { color: faint(own), borderColor: own, borderWidth: 1, borderType: 'dashed' as const }
  return {
    name: series.name,
    type: 'bar' as const,
    stack: series.stack,
    barMaxWidth: 28,
    itemStyle: { color: own },
    data: series.values.map((value, index) =>
      unfinished && !series.isPast && index === last && value !== null ? { value, itemStyle: hollow } : value,
    ),
  }
}

/** A line; what leads to a bucket that goes on is a dotted one of its own, since a line is drawn in one stroke. */
function lines({ kind, colour, unfinished }: Drawing, series: Series) {
  const own = colour(series.colour)
  const last = series.values.length - 1
  const goesOn = unfinished && !series.isPast && (series.values[last] ?? null) !== null
  const over = goesOn ? series.values.slice(0, last) : series.values
  const common = { name: series.name, type: 'line' as const, connectNulls: false, itemStyle: { color: own } }
  const drawn = {
    ...common,
    stack: series.stack,
    data: [...over],
    showSymbol: over.length === 1,
    lineStyle: { width: 1.75, type: series.dashed ? ('dashed' as const) : ('solid' as const) },
    ...(kind === 'area' && !series.dashed ? { areaStyle: { opacity: 0.1 } } : {}),
  }
  if (!goesOn) return [drawn]
  const ring = { color: colour('surface'), borderColor: own, borderWidth: 1.5 }
  const tail = {
    ...common,
    stack: series.stack && `${series.stack}, so far`,
    data: series.values.map((value, index) => {
      if (index === last) return { value, symbol: 'circle', symbolSize: 6, itemStyle: ring }
      return index === last - 1 ? { value, symbol: 'none' } : null
    }),
    showSymbol: true,
    lineStyle: { width: 1.75, type: 'dotted' as const },
  }
  return [drawn, tail]
}

/** What is said of a bucket where one points; made of nodes, so that no name can be taken for markup. */
export function bucketTip(chart: Drawing, index: number): HTMLElement {
  const node = (tag: string, className: string, text = '') => {
    const made = document.createElement(tag)
    made.className = className
    made.textContent = text
    return made
  }
  const tip = node('div', 'space-y-1 text-xs')
  tip.append(node('p', 'num font-medium', bucketName(chart, index)))
  for (const series of chart.series) {
    const value = series.values[index] ?? null
    const row = node('p', 'flex items-center gap-2')
    const dot = node('span', 'size-2.5 shrink-0 rounded-sm')
    dot.style.background = chart.colour(series.colour)
    row.append(
      dot,
      node('span', 'max-w-60 truncate', series.name),
      node('span', 'num ml-auto pl-4 font-medium', value === null ? '–' : chart.unit(value)),
    )
    tip.append(row)
  }
  return tip
}

export function chartOptions(chart: Drawing): EChartsOption {
  const { colour } = chart
  return {
    animation: false,
    grid: {
      left: 8,
      right: 12,
      top: 12,
      bottom: 4,
      outerBoundsMode: 'same' as const,
      outerBoundsContain: 'axisLabel' as const,
    },
    tooltip: {
      trigger: 'axis',
      backgroundColor: colour('surface'),
      borderColor: colour('line'),
      textStyle: { color: colour('text'), fontSize: 12 },
      formatter: (pointed) => {
        const [first] = Array.isArray(pointed) ? pointed : [pointed]
        return first ? bucketTip(chart, first.dataIndex) : ''
      },
    },
    xAxis: {
      type: 'category',
      data: [...chart.x],
      boundaryGap: chart.kind === 'bar',
      axisLine: { lineStyle: { color: colour('line-strong') } },
      axisTick: { show: false },
      axisLabel: {
        color: colour('muted'),
        fontSize: 11,
        hideOverlap: true,
        // A line ends at the edge, where its label would be cut. A bar stands within, but room for half a label beside the
        // last one would be lost to all of them.
        ...(chart.kind === 'bar' ? { showMaxLabel: chart.x.length <= 12 } : { alignMaxLabel: 'right' as const }),
      },
    },
    yAxis: {
      type: 'value',
      min: 0,
      ...(chart.whole ? { minInterval: 1 } : {}),
      axisLabel: { color: colour('muted'), fontSize: 11, formatter: (value: number) => chart.unit(value) },
      splitLine: { lineStyle: { color: colour('line') } },
      splitNumber: 4,
    },
    series:
      chart.kind === 'bar'
        ? chart.series.map((series) => bars(chart, series))
        : chart.series.flatMap((series) => lines(chart, series)),
  }
}
