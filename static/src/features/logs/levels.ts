// Levels of the log and what they look like. Pure.

export const levels = ['ERROR', 'WARN', 'INFO', 'DEBUG', 'TRACE'] as const
export type Level = (typeof levels)[number]
/** What is shown before anybody chose: what somebody should see. */
export const firstLevel: Level = 'WARN'

/** The level an address asks for. */
export const levelOf = (text: string | undefined): Level => levels.find((level) => level === text) ?? firstLevel

export const toneOf = (level: string): 'bad' | 'warn' | 'info' | 'idle' =>
  level === 'ERROR' ? 'bad' : level === 'WARN' ? 'warn' : level === 'INFO' ? 'info' : 'idle'

/** The module without the product's own name, which every line would repeat. */
export const sourceOf = (target: string): string => target.replace(/^steward(_\w+)?::/, '')
