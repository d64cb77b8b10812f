import { describe, expect, it } from 'vitest'
import { leadsElsewhere } from './server'

describe('another server', () => {
  it.each([
    ['https://api.example.com/v1', ' https://API.example.com/v2', false],
    ['https://api.example.com/v1', 'https://api.example.com:443/v1', false],
    // As a channel shows its address.
    ['https://api.example.com/…', 'https://api.example.com/hook', false],
    ['https://api.example.com/v1', 'http://api.example.com/v1', true],
    ['https://api.example.com/v1', 'https://api.example.com:8443/v1', true],
    ['https://api.example.com/v1', 'https://evil.example/v1', true],
    ['https://api.example.com/v1', 'https:', false],
    [undefined, 'https://api.example.com/v1', false],
  ])('%s %s', (before, after, elsewhere) => expect(leadsElsewhere(before, after)).toBe(elsewhere))
})
