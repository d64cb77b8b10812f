// What an application pastes to send feedback. The words of the widget are those of the console's language.

export interface Words {
  helpful: string
  up: string
  down: string
  wrong: string
  send: string
  thanks: string
  failed: string
}

export const curl = (origin: string) => `curl ${origin}/api/v1/feedback \\
  -H 'authorization: Bearer sk-stw-…' -H 'content-type: application/json' \\
  -d '{"request_id": "…", "rating": "down", "category": "wrong",
       "comment": "…", "correction": "…", "user": "…", "prompt": "name@3"}'`

/** As a value in a script, which no text in it can end. */
const literal = (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c')

/** A script for a page. It makes its parts by hand, so that nothing it shows can be taken for markup. */
export const widget = (origin: string, words: Words) => `<script>
// stewardFeedback(element, requestId, userToken): asks below an answer what its reader thinks of it.
//   element    where to ask
//   requestId  the x-request-id header of the answer
//   userToken  a function that gives the user token (a JWT) of whoever is at the page, or a promise of it
function stewardFeedback(element, requestId, userToken) {
  const words = ${literal(words)}
  const make = (tag, text, parts = []) => {
    const made = document.createElement(tag)
    if (text) made.textContent = text
    made.append(...parts)
    return made
  }
  const said = make('p', words.helpful)
  said.setAttribute('role', 'status')
  const [up, down, send] = [make('button', words.up), make('button', words.down), make('button', words.send)]
  const correction = make('textarea')
  correction.maxLength = 20000
  const form = make('form', '', [make('label', words.wrong, [correction]), send])
  form.hidden = true
  for (const button of [up, down]) button.type = 'button'
  const tell = async (opinion) => {
    try {
      const answer = await fetch(${literal(`${origin}/api/v1/feedback`)}, {
        method: 'POST',
        headers: { authorization: 'Bearer ' + (await userToken()), 'content-type': 'application/json' },
        body: JSON.stringify({ request_id: requestId, ...opinion }),
      })
      said.textContent = answer.ok ? words.thanks : words.failed
      return answer.ok
    } catch {
      said.textContent = words.failed
      return false
    }
  }
  up.onclick = async () => { if (await tell({ rating: 'up' })) form.hidden = true }
  down.onclick = async () => { if (await tell({ rating: 'down' })) form.hidden = false }
  form.onsubmit = async (event) => {
    event.preventDefault()
    const text = correction.value.trim()
    if (text && (await tell({ rating: 'down', category: 'wrong', correction: text }))) form.hidden = true
  }
  element.append(make('div', '', [said, up, down, form]))
}
</script>`
