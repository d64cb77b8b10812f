// Words for what the server names by slug; a name the console does not know is shown as it is.
import type { useText } from './messages'

type Text = ReturnType<typeof useText>
const named =
  (family: 'state' | 'reason' | 'strategy' | 'about') =>
  (t: Text, slug: string): string | null => {
    const key = `${family}.${slug}` as Parameters<Text>[0]
    const word = t(key)
    return word.endsWith(key) ? null : word
  }
const state = named('state')
const reason = named('reason')
const strategy = named('strategy')
export const stateWord = (t: Text, slug: string): string => state(t, slug) ?? slug
export const reasonWord = (t: Text, slug: string): string => reason(t, slug) ?? slug
export const strategyWord = (t: Text, slug: string): string => strategy(t, slug) ?? slug
/** One sentence about an actor, when there is one. */
export const aboutWord = named('about')
