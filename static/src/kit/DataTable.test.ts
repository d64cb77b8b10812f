import { mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, nextTick } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { usePreferences } from '@/preferences'
import { useSession } from '@/session'
import type { Column } from './column'
import DataTable from './DataTable.vue'
import { useTableLook } from './useTableLook'
import { useViews } from './useViews'

interface Row {
  id: string
  size: number
}
const columns: Column<Row>[] = [
  { key: 'id', title: 'Name', sortable: true, value: (row) => row.id },
  { key: 'size', title: 'Size', sortable: true, value: (row) => row.size },
  { key: 'note', title: 'Note', value: () => null },
]
const rows = (count: number): Row[] => Array.from({ length: count }, (_, at) => ({ id: `row ${at}`, size: at }))
const router = createRouter({
  history: createMemoryHistory(),
  routes: [{ path: '/:rest(.*)*', component: { render: () => null } }],
})
/** Long enough for whatever the table measures, draws and puts off. Time is virtual. */
const settle = async () => void (await vi.advanceTimersByTimeAsync(500))

/** A box of 420 px, which nothing lays out here. */
beforeEach(() => {
  vi.useFakeTimers()
  localStorage.clear()
  setActivePinia(createPinia())
  vi.spyOn(HTMLElement.prototype, 'offsetHeight', 'get').mockReturnValue(420)
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(420)
  vi.spyOn(HTMLElement.prototype, 'offsetWidth', 'get').mockReturnValue(1000)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.useRealTimers()
})

async function table(props: object) {
  const wrapper = mount(DataTable<Row>, {
    attachTo: document.body,
    global: { plugins: [router] },
    props: {
      tableId: 'rows',
      label: 'Rows',
      columns,
      rowKey: (row: Row) => row.id,
      empty: { title: 'None yet' },
      ...props,
    },
  })
  await settle()
  return wrapper
}
const headers = (wrapper: Awaited<ReturnType<typeof table>>) =>
  wrapper.findAll('[role=columnheader]').map((one) => [one.text(), one.attributes('aria-sort')])

describe('DataTable', () => {
  it('draws what is in view, and tells how many there are', async () => {
    const wrapper = await table({ rows: rows(5_000) })
    expect(wrapper.get('[role=grid]').attributes('aria-rowcount')).toBe('5001')
    const drawn = wrapper.findAll('[data-index]').length
    expect(drawn).toBeGreaterThan(5)
    expect(drawn).toBeLessThan(60)
    wrapper.unmount()
  })

  it('has elements that become other rows as one scrolls, take no focus along, and stand in order at rest', async () => {
    const wrapper = await table({ rows: rows(5_000) })
    const drawn = () => wrapper.findAll<HTMLElement>('[data-index]').map((row) => row.element)
    const indexes = () => drawn().map((row) => Number(row.dataset.index))
    const before = new Set(drawn())
    const grid = wrapper.get<HTMLElement>('[role=grid]')
    const scrollTo = async (row: number) => {
      grid.element.scrollTop = row * 34
      await grid.trigger('scroll')
    }
    drawn()[0]!.focus()
    await scrollTo(1_003)
    expect(drawn().every((row) => before.has(row))).toBe(true)
    expect(document.activeElement).toBe(document.body)
    const cells = drawn().map((row) => row.querySelector('[role=gridcell]')!.textContent)
    expect(cells).toEqual(indexes().map((index) => `row ${index}`))
    expect(Math.min(...indexes())).toBeLessThanOrEqual(1_003)
    drawn().at(-1)!.focus()
    const focused = document.activeElement
    await vi.waitFor(() => expect(indexes()).toEqual([...indexes()].sort((one, other) => one - other)))
    expect(document.activeElement).toBe(focused)
    const views = wrapper.emitted<[number, number, () => boolean]>('view')!
    expect(views.at(-1)).toEqual([indexes()[0], indexes().at(-1), expect.any(Function)])
    wrapper.unmount()
  })

  it('tells its order to screen readers, and turns it: falling first', async () => {
    const wrapper = await table({ rows: rows(3), sort: '-size' })
    expect(headers(wrapper)).toEqual([
      ['Name', undefined],
      ['Size', 'descending'],
      ['Note', undefined],
    ])
    const [byName, bySize] = wrapper.findAll('[role=columnheader] button')
    await bySize!.trigger('click')
    await byName!.trigger('click')
    expect(wrapper.emitted('update:sort')).toEqual([['size'], ['-id']])
    await wrapper.setProps({ sort: 'size' })
    expect(headers(wrapper)[1]).toEqual(['Size', 'ascending'])
    wrapper.unmount()
  })

  it('offers its orders and its row height on a phone, where there are no heads to click', async () => {
    vi.spyOn(window, 'matchMedia').mockImplementation(
      (query) => Object.assign(new EventTarget(), { matches: query.includes('max-width'), media: query }) as never,
    )
    const wrapper = await table({ rows: rows(3), sort: '-size' })
    const row = () => wrapper.get<HTMLElement>('[data-index]').element.style.height
    expect(row()).toBe('64px')
    await wrapper.get('button[aria-label="Order and row height"]').trigger('click')
    await settle()
    const select = document.querySelector('select')!
    expect([...select.options].map((option) => option.text)).toEqual([
      'Name, falling',
      'Name, rising',
      'Size, falling',
      'Size, rising',
    ])
    expect(select.value).toBe('-size')
    select.value = 'id'
    select.dispatchEvent(new Event('change'))
    expect(wrapper.emitted('update:sort')).toEqual([['id']])
    document.querySelector<HTMLElement>('[role=dialog] [role=checkbox], [role=dialog] [type=checkbox]')!.click()
    await settle()
    expect(row()).toBe('80px')
    wrapper.unmount()
  })

  it('has one tab stop, which the arrows move and Enter opens', async () => {
    const wrapper = await table({ rows: rows(30) })
    const stops = () => wrapper.findAll('[data-index][tabindex="0"]').map((row) => row.attributes('data-index'))
    expect(stops()).toEqual(['0'])
    const press = async (index: number, key: string) => {
      await wrapper.get(`[data-index="${index}"]`).trigger('keydown', { key })
      await settle()
    }
    await press(0, 'ArrowDown')
    expect(stops()).toEqual(['1'])
    expect(document.activeElement?.getAttribute('data-index')).toBe('1')
    await press(1, 'PageDown')
    const paged = Number(stops()[0])
    expect(paged).toBeGreaterThan(5)
    await press(paged, 'PageUp')
    expect(stops()).toEqual(['1'])
    await press(1, 'ArrowUp')
    await press(0, 'ArrowUp')
    expect(stops()).toEqual(['0'])
    await press(0, 'Enter')
    expect(wrapper.emitted('open')).toEqual([[{ id: 'row 0', size: 0 }, 0]])
    wrapper.unmount()
  })

  it('goes to its ends, and leaves keys alone that are meant for what stands in a row', async () => {
    const wrapper = mount(DataTable<Row>, {
      attachTo: document.body,
      global: { plugins: [router] },
      props: {
        tableId: 'rows',
        label: 'Rows',
        columns,
        rows: rows(300),
        rowKey: (row: Row) => row.id,
        empty: { title: 'None yet' },
      },
      slots: { 'cell-note': '<button type="button">copy</button>' },
    })
    await settle()
    const stop = () => wrapper.get('[data-index][tabindex="0"]').attributes('data-index')
    await wrapper.get('[data-index="0"]').trigger('keydown', { key: 'ArrowDown' })
    await settle()
    await wrapper.get('[data-index="1"]').trigger('keydown', { key: 'Home' })
    await settle()
    expect(stop()).toBe('0')
    await wrapper.get('[data-index="0"] button').trigger('keydown', { key: 'Enter' })
    await wrapper.get('[data-index="0"] button').trigger('keydown', { key: 'ArrowDown' })
    await settle()
    expect(wrapper.emitted('open')).toBeUndefined()
    expect(stop()).toBe('0')
    wrapper.unmount()
  })

  it('announces newer rows, and asks for them from its top', async () => {
    const wrapper = await table({ rows: rows(300), fresh: 0 })
    const button = () => wrapper.findAll('button').find((one) => one.text() === '3 new')
    expect(button()).toBeUndefined()
    await wrapper.setProps({ fresh: 3 })
    const grid = wrapper.get<HTMLElement>('[role=grid]')
    grid.element.scrollTop = 900
    await grid.trigger('scroll')
    const isAtTop = wrapper.emitted<[number, number, () => boolean]>('view')!.at(-1)![2]
    expect(isAtTop()).toBe(false)
    await button()!.trigger('click')
    expect(wrapper.emitted('fresh')).toHaveLength(1)
    await vi.waitFor(() => expect(isAtTop()).toBe(true))
    wrapper.unmount()
  })

  it('begins at its first row when it is sorted otherwise or lists something else, and stays where rows come', async () => {
    const wrapper = await table({ rows: rows(300), sort: '-size', listKey: '{}' })
    const grid = wrapper.get<HTMLElement>('[role=grid]')
    const scroll = async () => {
      grid.element.scrollTop = 900
      await grid.trigger('scroll')
    }
    const top = () => grid.element.scrollTop
    const drawn = () => wrapper.findAll('[data-index]').map((row) => Number(row.attributes('data-index')))
    await scroll()
    await wrapper.setProps({ rows: rows(310), selectedKey: 'row 30' })
    expect(top()).toBe(900)
    await wrapper.setProps({ sort: 'size' })
    expect([top(), Math.min(...drawn())]).toEqual([0, 0])
    await scroll()
    await wrapper.setProps({ listKey: '{"q":"other"}' })
    expect([top(), Math.min(...drawn())]).toEqual([0, 0])
    wrapper.unmount()
  })

  it('tells apart nothing there, nothing that matches, and a failure', async () => {
    const none = await table({ rows: [] })
    expect(none.text()).toContain('None yet')
    const match = await table({ rows: [], noMatch: true })
    expect(match.text()).toContain('Nothing matches')
    expect(match.text()).not.toContain('None yet')
    none.unmount()
    match.unmount()
  })
})

describe('saved views', () => {
  const open: { unmount: () => void }[] = []
  afterEach(() => open.splice(0).forEach((wrapper) => wrapper.unmount()))
  async function views() {
    let made: ReturnType<typeof useViews> | undefined
    let table: ReturnType<typeof useTableLook> | undefined
    const Page = defineComponent({
      setup() {
        table = useTableLook('rows', () => columns)
        made = useViews('rows', table)
        return () => null
      },
    })
    const wrapper = mount(Page, { global: { plugins: [router] } })
    open.push(wrapper)
    await settle()
    return { it: made!, table: table! }
  }
  const as = (username: string) => (useSession().me = { username, permissions: ['*'] } as unknown as never)

  it('keep filters, order, columns and density, and leave the time range as it is', async () => {
    as('ada')
    await router.push('/rows?model=gpt&sort=-size&range=7d')
    const { it: saved, table } = await views()
    table.choose({ hidden: ['note'], density: 'comfortable' })
    await settle()
    saved.save('  big ones ')
    expect(saved.current.value).toBe('big ones')
    table.choose({ hidden: null, density: 'compact' })
    await settle()
    await router.push('/rows?q=other&range=1h')
    expect(saved.current.value).toBeNull()
    await saved.apply(saved.views.value[0]!)
    expect(router.currentRoute.value.query).toEqual({
      model: 'gpt',
      sort: '-size',
      range: '1h',
      'cols.rows': 'id,size',
      density: 'comfortable',
    })
    expect(table.look.value).toEqual({ hidden: ['note'], density: 'comfortable' })
  })

  it('bring the usual columns back too', async () => {
    as('ada')
    await router.push('/rows')
    const { it: saved, table } = await views()
    saved.save('usual')
    table.choose({ hidden: ['note'], density: 'comfortable' })
    await settle()
    expect(router.currentRoute.value.query).toEqual({ 'cols.rows': 'id,size', density: 'comfortable' })
    await saved.apply(saved.views.value[0]!)
    await settle()
    expect(router.currentRoute.value.query).toEqual({})
    expect(table.look.value).toEqual({ hidden: null, density: 'compact' })
  })

  it('are in the address as far as they differ from how the table comes, wherever they were chosen', async () => {
    as('ada')
    await router.push('/rows?model=gpt')
    const first = await views()
    expect(router.currentRoute.value.query).toEqual({ model: 'gpt' })
    first.table.choose({ hidden: ['size'] })
    first.table.choose({ density: 'comfortable' })
    await settle()
    const said = { 'cols.rows': 'id,note', density: 'comfortable' }
    expect(router.currentRoute.value.query).toEqual({ model: 'gpt', ...said })
    // Days later, from the menu.
    await router.push('/rows')
    await settle()
    expect(router.currentRoute.value.query).toEqual(said)
    first.table.choose({ hidden: [], density: 'compact' })
    await settle()
    expect(router.currentRoute.value.query).toEqual({})
  })

  it('of an address are shown to whoever opens it, and are not taken for what they chose', async () => {
    as('bob')
    await router.push('/rows?cols.rows=id,note&density=comfortable')
    const { table } = await views()
    expect(table.look.value).toEqual({ hidden: ['size'], density: 'comfortable' })
    expect(usePreferences().density).toBe('compact')
    await router.push('/rows?cols.rows=of,another,console')
    expect(table.look.value).toEqual({ hidden: null, density: 'compact' })
  })

  it('are replaced under the same name, dropped, and nameless ones are not kept', async () => {
    as('ada')
    await router.push('/rows?model=a')
    const { it: saved } = await views()
    saved.save('mine')
    await router.push('/rows?model=b')
    saved.save('mine')
    saved.save('   ')
    expect(saved.views.value.map((view) => [view.name, view.query])).toEqual([['mine', { model: 'b' }]])
    saved.remove('mine')
    expect(saved.views.value).toEqual([])
  })

  it('are each operator’s own', async () => {
    as('ada')
    const mine = await views()
    mine.it.save('mine')
    await nextTick()
    setActivePinia(createPinia())
    as('bob')
    expect((await views()).it.views.value).toEqual([])
    setActivePinia(createPinia())
    as('ada')
    expect((await views()).it.views.value.map((view) => view.name)).toEqual(['mine'])
  })
})
