import { describe, expect, it } from 'vitest'
import { markdown } from './markdown'

const drawn = (text: string) => {
  const home = document.createElement('div')
  home.append(markdown(text))
  return home
}
/** What a browser would fetch by itself, wherever it stands in the tree. */
const fetches =
  'img, picture, source, video, audio, track, iframe, frame, object, embed, link, script, style, input, svg, image, use, base, meta, [src], [srcset], [poster], [background], [style]'

describe('Markdown', () => {
  it.each([
    '![a picture](https://elsewhere.example/p.png)',
    '![a picture](//elsewhere.example/p.png "with a title")',
    '![p][1]\n\n[1]: https://elsewhere.example/p.png',
    '[![p](https://elsewhere.example/p.png)](https://elsewhere.example)',
    '<img src="https://elsewhere.example/p.png">',
    '<svg><image href="https://elsewhere.example/p.png"/></svg>',
    '<style>@import "https://elsewhere.example/s.css"</style>',
    '<div style="background:url(https://elsewhere.example/p.png)">x</div>',
    '<iframe src="https://elsewhere.example"></iframe>',
  ])('asks nobody for anything: %s', (text) => {
    expect([...drawn(text).querySelectorAll(fetches)].map((node) => node.outerHTML)).toEqual([])
  })

  it('draws what it is for', () => {
    const home = drawn(
      'Here:\n\nSome **bold** words, https://steward.example and ![a picture](https://steward.example/p.png)',
    )
    expect(home.querySelector('strong')?.textContent).toBe('bold')
    const links = [...home.querySelectorAll('a')].map((link) => [link.textContent, link.getAttribute('href')])
    expect(links).toEqual([
      ['https://steward.example', 'https://steward.example'],
      ['a picture', 'https://steward.example/p.png'],
    ])
  })
})
