// One row of a DataTable. It is a component of its own so that only a row that became another is drawn anew, and it has no
// template because its cells are slots of the table's user.
import { defineComponent, h, type PropType, renderSlot, type Slots } from 'vue'
import type { Column } from './column'

/** On a phone a row is a card: a title, and below it some facts; before them what chooses it. */
export interface Card {
  choice?: Column<Row>
  title: Column<Row>
  meta: readonly Column<Row>[]
}
/** Rows are opaque here: the table's user gave both them and the columns that read them. */
type Row = unknown

export const TableRow = defineComponent({
  name: 'TableRow',
  props: {
    row: { type: null as unknown as PropType<Row>, required: true },
    index: { type: Number, required: true },
    top: { type: Number, required: true },
    height: { type: Number, required: true },
    /** The grid's columns as CSS has them. */
    tracks: { type: String, required: true },
    columns: { type: Array as unknown as PropType<readonly Column<Row>[]>, required: true },
    card: { type: Object as PropType<Card | null>, default: null },
    cells: { type: Object as PropType<Slots>, required: true },
    isSelected: Boolean,
    isTabStop: Boolean,
    opens: Boolean,
    look: { type: String, default: '' },
  },
  setup(props) {
    const cell = (column: Column<Row>) =>
      renderSlot(props.cells, `cell-${column.key}`, { row: props.row }, () => [String(column.value(props.row) ?? '–')])
    const inside = () => {
      if (props.row === undefined)
        return h('div', { role: 'gridcell', class: 'px-3' }, h('span', { class: 'bg-sunken block h-3 w-40 rounded' }))
      if (props.card) {
        const { choice, title, meta } = props.card
        const told = h('div', { class: 'min-w-0 grow space-y-1' }, [
          h('div', { class: 'truncate font-medium' }, [cell(title)]),
          h(
            'div',
            { class: 'text-muted flex items-center gap-3 overflow-hidden text-xs whitespace-nowrap' },
            meta.map((column) => h('span', { key: column.key, class: 'num' }, [cell(column)])),
          ),
        ])
        return h('div', { role: 'gridcell', class: 'flex w-[calc(100vw-3rem)] min-w-0 items-center px-3' }, [
          // A finger that misses the box a little opens nothing.
          choice
            ? h('label', { class: '-ml-3 shrink-0 p-3', onClick: (click: Event) => click.stopPropagation() }, [
                cell(choice),
              ])
            : null,
          told,
        ])
      }
      return props.columns.map((column) =>
        h(
          'div',
          {
            key: column.key,
            role: 'gridcell',
            class: column.align === 'right' ? 'min-w-0 truncate px-3 num text-right' : 'min-w-0 truncate px-3',
          },
          [cell(column)],
        ),
      )
    }
    return () =>
      h(
        'div',
        {
          role: 'row',
          'aria-rowindex': props.index + 2,
          'aria-selected': props.isSelected,
          'data-index': props.index,
          tabindex: props.isTabStop ? 0 : -1,
          class: [
            'border-line aria-selected:bg-accent-soft absolute top-0 left-0 grid w-full items-center border-b text-sm contain-strict focus-visible:outline-offset-[-2px]',
            props.opens ? 'hover:bg-hover cursor-pointer' : '',
            props.look,
          ],
          style: {
            gridTemplateColumns: props.tracks,
            height: `${props.height}px`,
            transform: `translateY(${props.top}px)`,
          },
        },
        inside(),
      )
  },
})
