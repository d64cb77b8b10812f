// Which commands fit what was typed. Pure.
export interface Command {
  id: string
  group: string
  label: string
  /** Other words it is found by. */
  also?: string
  run: () => unknown
}

/** Every typed word must occur; those that begin the label come first, otherwise the given order stays. */
export function fitting(commands: readonly Command[], typed: string): Command[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  const text = (command: Command) => `${command.label} ${command.also ?? ''}`.toLowerCase()
  const begins = (command: Command) => (words[0] && command.label.toLowerCase().startsWith(words[0]) ? 0 : 1)
  return commands
    .filter((command) => words.every((word) => text(command).includes(word)))
    .sort((a, b) => begins(a) - begins(b))
}

/** A request's public id is a UUID. */
export const requestIdIn = (typed: string): string | null =>
  /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/i.exec(typed)?.[0].toLowerCase() ?? null
