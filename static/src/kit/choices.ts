// What a field or a filter chooses from when there are more than a list holds: found at the server while one types, and
// named by the id that the address keeps.
export interface Choice {
  value: string
  label: string
}
export interface Found {
  items: Choice[]
  /** Where the next page begins. */
  next: string | null
}
export interface Choices {
  /** Under which the answers are kept: of what these are the choices. */
  key: string
  find: (text: string, cursor: string | null, signal: AbortSignal) => Promise<Found>
  nameOf: (value: string, signal: AbortSignal) => Promise<string>
}

/** The name of what `value` stands for. */
export const naming = (choices: Choices, value: string) => ({
  queryKey: ['choices', choices.key, 'named', value],
  staleTime: 60_000,
  retry: false,
  queryFn: ({ signal }: { signal: AbortSignal }) => choices.nameOf(value, signal),
})
