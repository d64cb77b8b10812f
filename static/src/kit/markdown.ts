// Loaded with the first Markdown text.
import createDOMPurify from 'dompurify'
import MarkdownIt from 'markdown-it'

// A picture is a link: only who follows it asks for it, and not everybody who reads what was said.
const renderer = new MarkdownIt({ html: false, linkify: true, breaks: true }).disable('image')
const purifier = createDOMPurify(window)

export function markdown(text: string): DocumentFragment {
  return purifier.sanitize(renderer.render(text), { RETURN_DOM_FRAGMENT: true, FORBID_TAGS: ['img', 'style', 'form'] })
}
