import { expect, it } from 'vitest'
import { levelOf, sourceOf, toneOf } from './levels'

it('shows warnings and worse until another level is asked for', () => {
  expect([levelOf(undefined), levelOf('ERROR'), levelOf('nonsense')]).toEqual(['WARN', 'ERROR', 'WARN'])
})
it('gives every level a tone, unknown ones too', () => {
  expect(['ERROR', 'WARN', 'INFO', 'TRACE', '?'].map(toneOf)).toEqual(['bad', 'warn', 'info', 'idle', 'idle'])
})
it('shortens our own modules and no others', () => {
  expect(sourceOf('steward::gateway::relay')).toBe('gateway::relay')
  expect(sourceOf('steward_actors::spool')).toBe('spool')
  expect(sourceOf('sqlx::query')).toBe('sqlx::query')
})
