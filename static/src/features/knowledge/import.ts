// A file of pairs as the page tells it: what its columns are called, and what is sent of the choices. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Import = Schemas['KnowledgeImport']
export type ImportRun = Schemas['ImportRun']
export type ImportError = Schemas['ImportError']

export const encodings = ['utf-8', 'gb18030', 'big5', 'shift_jis', 'euc-kr', 'windows-1252', 'utf-16le'] as const
const ended = ['succeeded', 'failed', 'cancelled']

/** As it is chosen; '' is no column. */
export interface Choices {
  hasHeader: boolean
  question: string
  answer: string
  category: string
  quality: string
  existing: 'keep' | 'replace'
  /** Of pairs for which the file names none. */
  otherwise: string
}
const shown = (column: number | null | undefined) => (column == null ? '' : String(column))
/** What was asked for the last time; before that, what the first row says of the columns. */
export function choicesOf({ suggestion, job }: Import): Choices {
  const asked = job?.params as Partial<ImportRun> | undefined
  const mapping = asked?.mapping ?? suggestion
  return {
    hasHeader: mapping.has_header,
    question: shown(mapping.question),
    answer: shown(mapping.answer),
    category: shown(mapping.category),
    quality: shown(mapping.quality_score),
    existing: asked?.existing ?? 'keep',
    otherwise: asked?.category ?? '',
  }
}
const column = (chosen: string) => (chosen === '' ? null : Number(chosen))
export const runOf = (choices: Choices, dryRun: boolean): ImportRun => ({
  dry_run: dryRun,
  mapping: {
    has_header: choices.hasHeader,
    question: Number(choices.question),
    answer: Number(choices.answer),
    category: column(choices.category),
    quality_score: column(choices.quality),
  },
  existing: choices.existing,
  category: choices.otherwise.trim(),
})

/** A column's letter, as spreadsheets name it. */
export function letter(index: number): string {
  const rest = String.fromCharCode(65 + (index % 26))
  return index < 26 ? rest : letter(Math.floor(index / 26) - 1) + rest
}
/** The columns to choose from: their letters, and what the first row calls them. */
export function columnsOf(it: Import, hasHeader: boolean): { value: string; label: string }[] {
  const width = Math.max(0, ...it.sample.map((row) => row.cells.length))
  const first = it.sample[0]?.cells ?? []
  return Array.from({ length: width }, (_, at) => {
    const name = hasHeader ? first[at] : ''
    return { value: String(at), label: name ? `${letter(at)} · ${name}` : letter(at) }
  })
}
/** Whether a job works on it. */
export const isBusy = (it: Import | null | undefined) => !!it?.job && !ended.includes(it.job.state)
/** Whether there is anything left to bring in: a file that was tried, or whose job was stopped, still is. */
export const isOpen = (it: Import) => !it.ended_at && it.sample.length > 0
