// Failures as the client makes them, for the parts that show one.
import { Problem } from '@/api/problem'

export const refused = new Problem(
  422,
  'validation_failed',
  'Some fields are not valid.',
  'Refused: name.',
  '01a1fcb5-75cd-7660-ab21-d57fb8006f73',
  [
    { field: 'name', message: 'is taken' },
    { field: 'limits.rpm', message: 'must be at least 1' },
  ],
)
export const gone = new Problem(404, 'not_found', 'Not found', 'There is no such record.', null)
export const unreachable = Problem.unreachable(new TypeError('Failed to fetch'))
