// What a chart shows, turned into the library's options. Pure: colours are passed in.
import type { EChartsOption } from 'echarts'

export interface Series {
  name: string
  values: readonly (number | null)[]
  /** A token name: `accent`, `bad`, `series-2`, … */
  colour: string
  /** Failures are dashed, so that they are told apart without colour. */
  dashed?: boolean
  stack?: string
}

export function chartOptions(chart: {
  kind: 'line' | 'area' | 'bar'
  x: readonly string[]
  series: readonly Series[]
  unit: (value: number) => string
  /** Counts of things: no line stands between two of them. */
  whole?: boolean
  colour: (token: string) => string
}): EChartsOption {
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
      valueFormatter: (value) => (typeof value === 'number' ? chart.unit(value) : '–'),
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
    series: chart.series.map((series) => ({
      name: series.name,
      data: [...series.values],
      itemStyle: { color: colour(series.colour) },
      ...(chart.kind === 'bar'
        ? { type: 'bar' as const, stack: series.stack, barMaxWidth: 28 }
        : {
            type: 'line' as const,
            stack: series.stack,
            showSymbol: series.values.length === 1,
            connectNulls: false,
            lineStyle: { width: 1.75, type: series.dashed ? ('dashed' as const) : ('solid' as const) },
            ...(chart.kind === 'area' && !series.dashed ? { areaStyle: { opacity: 0.1 } } : {}),
          }),
    })),
  }
}
