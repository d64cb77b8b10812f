import { afterEach, describe, expect, it, vi } from 'vitest'
import { download, withTicket } from './download'
import { useCredentials } from './client'

afterEach(() => vi.unstubAllGlobals())

describe('a download', () => {
  it('adds the ticket to what is asked for', () => {
    const address = new URL('http://localhost/api/v1/stats/export?format=csv')
    expect(withTicket(address, 'a-b_c')).toBe('http://localhost/api/v1/stats/export?format=csv&ticket=a-b_c')
    expect(address.search).toBe('?format=csv')
  })
  it('is begun only with a ticket', async () => {
    useCredentials({ bearer: async () => 'token', renew: async () => null })
    const refused = { type: 'about:blank', title: 'No', status: 403, code: 'forbidden', request_id: '1' }
    const fetched = vi.fn(async () => new Response(JSON.stringify(refused), { status: 403 }))
    vi.stubGlobal('fetch', fetched)
    const made = vi.fn()
    vi.stubGlobal('document', { createElement: made })
    await expect(download(new URL('http://localhost/api/v1/stats/export'))).rejects.toMatchObject({ status: 403 })
    expect(fetched).toHaveBeenCalledOnce()
    expect(made).not.toHaveBeenCalled()
  })
})
