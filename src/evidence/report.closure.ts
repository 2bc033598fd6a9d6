import { counted } from '../kernel/index.ts'
import type { ClosedCredential, ClosureStory, Order } from './report.closure.story.ts'
import { type Html, html } from './report.html.ts'
import { dataText } from './report.step.ts'
import { clockText, probeText, timeText } from './report.text.ts'

/** What a reader takes from a state: an end that is proven, one that is not or waits for somebody, or the way to one. */
const TONES: ReadonlyMap<string, 'good' | 'bad'> = new Map([
  ...['proven_dead', 'rotated', 'resumed', 'closed'].map((state) => [state, 'good'] as const),
  ...['handed_over', 'blocked', 'not_provable', 'irrevocable', 'waiting', 'closed_unproven'].map((state) => [state, 'bad'] as const),
])
const ORDERED: Readonly<Record<Order['what'], string>> = { suspended: 'Suspended', resumed: 'Given back', offboarded: 'Offboarded' }
const MEANINGS: readonly (readonly [string, string])[] = [
  [
    'proven_dead',
    'The value was refused while root was let in by the same way at the same moment, the system itself said that the account is shut, ' +
      'and no session was left.',
  ],
  ['rotated', 'It lives on for others: they have a new value, and the old one is proven dead in its rotation.'],
  ['handed_over', 'Rekey could not end it. A named human has it, until it is ended.'],
  ['not_provable', 'Its account was ended. Whether the value that was held ever worked is not known, so its refusal shows nothing.'],
  ['irrevocable', 'A human said that nobody can revoke it: it may still work.'],
  ['suspended', 'Logins are stopped and sessions ended. The same value can be given back.'],
]

/** The identities that were suspended or left, and what became of each of their credentials. `rotationLink`: to a rotation of this page. */
export function closuresPart(
  closures: readonly ClosureStory[],
  rotationLink: (id: string) => Html | null,
  timelineOf: (closure: ClosureStory) => Html,
): Html {
  if (closures.length === 0) return html``
  const states = new Set(closures.flatMap(({ credentials }) => credentials.map(({ state }) => state)))
  return html`<section>
<h2>Identities suspended or offboarded</h2>
${closures.map((closure) => closurePart(closure, rotationLink, timelineOf(closure)))}<dl class="soft">
${MEANINGS.filter(([state]) => states.has(state)).map(([state, text]) => html`<dt>${toned(state)}</dt><dd>${text}</dd>\n`)}</dl>
</section>
`
}

const NO_CREDENTIAL = html`<p class="soft">It had no credential that could authenticate.</p>\n`

function closurePart(closure: ClosureStory, rotationLink: (id: string) => Html | null, timeline: Html): Html {
  const { id, identity, orders, stopped, credentials, goal, reason, state } = closure
  const facts: [string, string][] = [
    ...orders.map(({ what, by, at, reason: why }): [string, string] => [
      ORDERED[what],
      `by ${by}, ${timeText(at)}: ${why || 'no reason told'}`,
    ]),
    ['Goal', `${goal}${reason === '' ? '' : `: ${reason}`}`],
    ...stopped.map((text): [string, string] => ['Stopped at once', stoppedText(text)]),
  ]
  return html`<article id="c-${encodeURIComponent(id)}">
<header><h3>${identity}</h3>${toned(state || 'under way')}</header>
<dl>
${facts.map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>\n`)}<dt>Closure</dt><dd><code>${id}</code></dd>
</dl>
${credentials.length === 0 ? NO_CREDENTIAL : credentialTable(credentials, rotationLink)}${timeline}</article>
`
}

function credentialTable(credentials: readonly ClosedCredential[], rotationLink: (id: string) => Html | null): Html {
  const row = (one: ClosedCredential): Html => {
    const rotation = one.rotation === '' ? null : rotationLink(one.rotation)
    return html`<tr><td class="w head">${one.name}</td><td class="t">${toned(
      one.state,
    )}</td><td class="w" data-of="On">${one.system || '–'}</td><td>${howText(
      one,
    )}${rotation === null ? html`` : html` See ${rotation}.`}</td><td class="t" data-of="At">${clockText(
      dataText(one.last, 'provedDeadAt') || one.last.at,
    )}</td></tr>\n`
  }
  return html`<div class="wide"><table class="stack">
<thead><tr><th>Credential</th><th>Outcome</th><th>System</th><th>How, or who has it</th><th>At (UTC)</th></tr></thead>
<tbody>
${credentials.map(row)}</tbody>
</table></div>
`
}

function toned(state: string): Html {
  return html`<span class="${TONES.get(state) ?? 'wait'}">${state.replaceAll('_', ' ')}</span>`
}

/** `{"apiTokens":1,"sessions":2}` as `1 api tokens, 2 sessions`. */
function stoppedText(json: string): string {
  const parts = [...json.matchAll(/"([^"]+)":(\d+)/g)].map(([, kind = '', count = '']) => {
    return `${count} ${kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`
  })
  return parts.length === 0 ? json : parts.join(', ')
}

/** How its death was proven, or to whom it went and why. */
function howText({ state, last, why, consumers }: ClosedCredential): string {
  const told = (key: string) => dataText(last, key)
  const because = [told('reason'), told('hint')].filter(Boolean).join(' ')
  if (state === 'proven_dead') return told('reason') || proofText(last)
  if (state === 'rotated' || state === 'rotating') return consumers === '' ? sentence(why) : `Used by ${consumers} too.`
  if (state === 'handed_over' || state === 'blocked')
    return `${told('human') || 'Nobody'} (${told('humanKind') || 'human'}) has it. ${because}`.trim()
  if (state === 'suspended')
    return `Logins stopped, ${counted(Number(told('sessionsEnded') || 0), 'session')} ended; the value can be given back.`
  if (state === 'resumed') return valuesText(last) === '' ? 'Nothing of it had been touched.' : `Given back: ${valuesText(last)}.`
  return because || sentence(why)
}

const sentence = (text: string) => (text === '' ? '' : `${text[0]?.toUpperCase()}${text.slice(1)}.`)

function proofText(last: ClosedCredential['last']): string {
  const { mayLogIn } = last.data
  const accounts = typeof mayLogIn === 'object' && mayLogIn !== null ? Object.entries(mayLogIn) : []
  const shut = accounts.map(
    ([account, open]) => `${account}: ${open === false ? 'shut' : open === 'gone' ? 'gone' : open === null ? 'not told' : String(open)}`,
  )
  return [
    valuesText(last),
    `root ${probeText(dataText(last, 'control', 'outcome'), dataText(last, 'control', 'code'))} at the same moment`,
    shut.length === 0 ? '' : `by the system ${shut.join(', ')}`,
    `${counted(Number(dataText(last, 'sessionsEnded') || 0), 'session')} ended, ${dataText(last, 'sessionsLeft') || 'not counted'} left`,
  ]
    .filter(Boolean)
    .join('; ')
}

/** `v1 refused (28P01), v2 refused (28P01)`. */
function valuesText({ data }: ClosedCredential['last']): string {
  const values = Array.isArray(data.values) ? data.values : []
  return values
    .flatMap((value) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
      const text = (key: string) => (Object.hasOwn(value, key) ? String(value[key]) : '')
      return [`v${text('version')} ${probeText(text('outcome'), text('code'))}`]
    })
    .join(', ')
}
