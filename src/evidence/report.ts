import type { Json } from '../kernel/index.ts'
import type { BundleCheckpoint, BundleContent } from './bundle.model.ts'
import { type EventBody, isObject, LOGS, type LogName } from './event.ts'
import { type Html, html, raw } from './report.html.ts'
import {
  type CredentialStory,
  dataText,
  type Ending,
  type RotationStory,
  type Step,
  type Story,
  stepOf,
  tellStory,
} from './report.story.ts'
import { REPORT_STYLE } from './report.style.ts'

/**
 * The page of a bundle, from the end of its machine part to the end of the file. A pure function of the content and total: what
 * can be read can be shown. Every value is escaped, and there are no scripts.
 */
export function renderReport(content: BundleContent): string {
  const story = tellStory(content)
  const rotations = story.credentials.flatMap((credential) => credential.rotations)
  const page = html`<style>${raw(REPORT_STYLE)}</style>
</head>
<body>
<main>
${opening(content, rotations, story)}
${summary(rotations)}
<section>
<h2>Credentials</h2>
${story.credentials.length === 0 ? NO_CREDENTIAL : story.credentials.map(credentialPart)}</section>
${othersPart(story.others)}${checkpointPart(content)}
${controls(rotations)}
<footer>
<p>This page is drawn from the records at the head of this file, and only from them. Check records and page, offline, with
<code>rekey evidence verify</code> and the public key, obtained by another way than this file. The signing key named here, the choice of
events and the number of events not yet in the tree are the exporter’s word; all else is covered by the signed checkpoints.</p>
</footer>
</main>
</body>
</html>
`
  return page.html
}

const NO_CREDENTIAL = html`<p class="soft">No credential is named in these events.</p>\n`

const TYPES = new Map([
  ['credential.added', 'Entered in the inventory'],
  ['credential.changed', 'Inventory entry changed'],
  ['credential.removed', 'Removed from the inventory'],
  ['version.declared', 'Value in use declared'],
  ['version.not_provable', 'Given up: whether it is dead cannot be proven'],
  ['version.irrevocable', 'Given up while it was accepted'],
  ['root.tried', 'Root value told, to be tried'],
  ['root.set', 'Root value told is in use'],
  ['root.refused', 'Root value told was not taken'],
  ['system.decommissioned', 'System decommissioned'],
  ['version.shredded', 'Stored value destroyed'],
  ['override.recorded', 'Override'],
  ['rotation.planned', 'Planned'],
  ['rotation.staged', 'New value stored'],
  ['rotation.installed', 'New value installed'],
  ['rotation.verified', 'New value verified'],
  ['rotation.distributed', 'New value distributed'],
  ['rotation.activated', 'Consumers on the new'],
  ['rotation.retiring', 'Retirement begins'],
  ['rotation.retired', 'Old value retired'],
  ['rotation.proven_dead', 'Old value proven dead'],
  ['rotation.not_provable', 'Death not provable'],
  ['rotation.blocked', 'Blocked'],
  ['rotation.undone', 'Undone'],
  ['rotation.irrevocable', 'Cannot be revoked'],
  ['rotation.regenerated', 'Value generated anew'],
])

const TONES: { readonly [ending in Ending]: 'good' | 'bad' | 'wait' } = {
  'proven dead': 'good',
  'not provable': 'bad',
  blocked: 'bad',
  irrevocable: 'bad',
  undone: 'wait',
  running: 'wait',
}

function opening({ filter, key, logs }: BundleContent, rotations: readonly RotationStory[], story: Story): Html {
  const dead = rotations.filter(({ ending }) => ending === 'proven dead').length
  const gaps = rotations.flatMap(({ gapMs }) => gapMs ?? [])
  const asOf =
    LOGS.flatMap((log) => logs[log].checkpoints.map(({ note }) => headOf(note).at))
      .sort()
      .at(-1) ?? ''
  const pending = LOGS.reduce((sum, log) => sum + logs[log].pending, 0)
  const scope = [filter.credential === null ? '' : `of ${filter.credential}`, filter.since === null ? '' : `since ${time(filter.since)}`]
  return html`<header>
<h1>Evidence of credential rotation</h1>
<p class="soft">${asOf === '' ? 'Nothing is signed yet' : `As of the last signed checkpoint, ${time(asOf)}`}. ${
    scope.join('') === '' ? 'All events' : `Only events ${scope.join(' ').trim()}`
  }.${pending === 0 ? '' : ` ${pending} newer events were not yet in the tree and are left out.`}</p>
<p class="soft">Signed by <code>${key}</code></p>
<div class="figures">
<div><span>credentials</span><b>${story.credentials.length}</b></div>
<div><span>rotations</span><b>${rotations.length}</b></div>
<div><span>old values proven dead</span><b>${dead}</b></div>
<div><span>not proven</span><b>${rotations.length - dead}</b></div>
<div><span>longest gap</span><b>${gaps.length === 0 ? '–' : duration(gaps.reduce((a, b) => Math.max(a, b)))}</b></div>
</div>
</header>`
}

function summary(rotations: readonly RotationStory[]): Html {
  if (rotations.length === 0) return html``
  const row = (rotation: RotationStory): Html =>
    html`<tr><td class="w"><a href="#${anchor(rotation)}">${rotation.credential}</a></td><td>${
      rotation.strategy || '–'
    }</td><td>${rotation.reason || '–'}</td><td class="t">${clock(rotation.steps[0]?.event.at ?? '')}</td><td class="n">${
      rotation.gapMs === null ? '–' : duration(rotation.gapMs)
    }</td><td>${ending(rotation)}</td></tr>\n`
  return html`<section>
<h2>Rotations</h2>
<div class="wide"><table>
<thead><tr><th>Credential</th><th>Strategy</th><th>Reason</th><th>Begun (UTC)</th><th class="n">Gap</th><th>Old value</th></tr></thead>
<tbody>
${rotations.map(row)}</tbody>
</table></div>
</section>`
}

function credentialPart({ name, rotations, others }: CredentialStory): Html {
  if (rotations.length === 0) return html`<article>\n<header><h3>${name}</h3></header>\n${timeline(others, false)}</article>\n`
  return html`${rotations.map(rotationPart)}${
    others.length === 0
      ? html``
      : html`<article>
<header><h3>${name}</h3><span class="soft">outside of rotations</span></header>
${timeline(others, false)}</article>
`
  }`
}

function rotationPart(rotation: RotationStory): Html {
  const verified = stepOf(rotation, 'rotation.verified')?.event
  const dead = stepOf(rotation, 'rotation.proven_dead')?.event
  const facts: [string, string][] = [
    ['System', rotation.system],
    ['Change', [rotation.strategy, rotation.reason].filter(Boolean).join(', ')],
    ['Ordered by', rotation.by],
    ['New value', verified === undefined ? '' : `${probe(verified, 'probe')}, ${time(verified.at)}`],
    ['Old value', dead === undefined ? '' : `${probe(dead, 'old')}, ${time(dataText(dead, 'old', 'at') || dead.at)}`],
    ['Why', rotation.trouble],
    ['Control', dead === undefined ? '' : `new value ${probe(dead, 'control')}, ${time(dataText(dead, 'control', 'at') || dead.at)}`],
    ['Sessions of the old', dead === undefined ? '' : `${dataText(dead, 'sessionsLeft') || 'not counted'} left`],
    ['Revoked', time(dataText(dead, 'revokedAt'))],
    ['Effectively dead', time(dataText(dead, 'effectiveDeadAt'))],
    ['Proven dead', time(dataText(dead, 'provedDeadAt'))],
    ['Gap', rotation.gapMs === null ? '' : duration(rotation.gapMs)],
  ]
  return html`<article id="${anchor(rotation)}">
<header><h3>${rotation.credential}</h3>${ending(rotation)}</header>
<dl>
${facts.filter(([, text]) => text !== '').map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>\n`)}${versions(rotation)}</dl>
${timeline(rotation.steps, false)}</article>
`
}

/** `worker:…b78715e068cd` for an actor named by a UUID: the end tells it apart, and the event itself has all of it. */
function shortActor(actor: string): string {
  return actor.replace(/^([a-z]+:)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}([0-9a-f]{12})$/, '$1…$2')
}

function versions({ oldVersion, newVersion, id }: RotationStory): Html {
  const both =
    oldVersion === '' && newVersion === ''
      ? html``
      : html`<dt>Versions</dt><dd><code>${oldVersion || '–'}</code> → <code>${newVersion || '–'}</code></dd>\n`
  return html`${both}<dt>Rotation</dt><dd><code>${id}</code></dd>\n`
}

function timeline(steps: readonly Step[], withSubject: boolean): Html {
  const row = ({ log, index, event }: Step): Html =>
    html`<tr><td class="n soft" title="${log} log, event ${index}">${
      log === 'identity' ? 'i' : ''
    }${index}</td><td>${clock(event.at)}</td><td>${TYPES.get(event.type) ?? event.type}</td>${
      withSubject ? html`<td>${event.subject}</td>` : html``
    }<td>${shortActor(event.actor)}</td><td>${details(event)}</td></tr>\n`
  const of = withSubject ? html`<th>Of</th>` : html``
  return html`<div class="wide"><table class="steps">
<thead><tr><th class="n">#</th><th>Time (UTC)</th><th>What</th>${of}<th>By</th><th>Details</th></tr></thead>
<tbody>
${steps.map(row)}</tbody>
</table></div>
`
}

function othersPart(steps: readonly Step[]): Html {
  return steps.length === 0 ? html`` : html`<section>\n<h2>Everything else</h2>\n${timeline(steps, true)}</section>\n`
}

function checkpointPart({ logs }: BundleContent): Html {
  const row = (log: LogName, { note }: BundleCheckpoint): Html => {
    const { size, root, at } = headOf(note)
    return html`<tr><td>${log}</td><td class="n">${size}</td><td class="t">${clock(at)}</td><td><code>${root}</code></td></tr>\n`
  }
  return html`<section>
<h2>Checkpoints</h2>
<p class="soft">Each signs the whole log as it then was; each is proven to continue the one before.</p>
<div class="wide"><table>
<thead><tr><th>Log</th><th class="n">Events</th><th>Signed (UTC)</th><th>Root</th></tr></thead>
<tbody>
${LOGS.flatMap((log) => logs[log].checkpoints.map((checkpoint) => row(log, checkpoint)))}</tbody>
</table></div>
</section>`
}

function controls(rotations: readonly RotationStory[]): Html {
  const has = (type: string) => rotations.filter((rotation) => stepOf(rotation, type) !== undefined).length
  const row = (control: string, meaning: string, shown: string): Html =>
    html`<tr><td class="w">${control}</td><td>${meaning}</td><td>${shown}</td></tr>\n`
  return html`<section>
<h2>Controls</h2>
<div class="wide"><table>
<thead><tr><th>Control</th><th>Asks for</th><th>Shown here</th></tr></thead>
<tbody>
${[
  row('OWASP NHI7:2025 Long-Lived Secrets', 'secrets are rotated', `${has('rotation.verified')} new values verified on the system itself`),
  row(
    'OWASP NHI1:2025 Improper Offboarding',
    'what is no longer needed stops working',
    `${has('rotation.proven_dead')} old values proven dead`,
  ),
  row(
    'NIST CSF 2.0 PR.AA-01 (1.1: PR.AC-1)',
    'credentials are managed by the organisation',
    `${rotations.length} rotations, each with its order, steps and end on record`,
  ),
]}</tbody>
</table></div>
</section>`
}

function ending(rotation: RotationStory): Html {
  return html`<span class="${TONES[rotation.ending]}">${rotation.ending}</span>`
}

function anchor({ id }: RotationStory): string {
  return `r-${encodeURIComponent(id)}`
}

function probe(event: EventBody, what: string): string {
  const code = dataText(event, what, 'code')
  return `${dataText(event, what, 'outcome') || 'not told'}${code === '' ? '' : ` (${code})`}`
}

/** The details of any event: its data, flattened to `name: value`. */
function details(event: EventBody): string {
  return flatten(event.data).join(' · ')
}

function flatten(value: Json, name = ''): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return [`${name}: ${value.join(', ') || 'none'}`]
  if (Array.isArray(value)) return value.flatMap((item: Json, i) => flatten(item, `${name} ${i + 1}`))
  if (isObject(value)) {
    // Sorted, so that the page does not depend on the order of keys, which canonical JSON does not keep.
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return members.flatMap(([key, item]) => flatten(item, name === '' ? key : `${name} ${key}`))
  }
  const text = typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value) ? time(value) : String(value)
  return [name === '' ? text : `${name}: ${text}`]
}

/** The lines of a checkpoint as they stand, unchecked: `verifyBundle` is what checks. */
function headOf(note: string): { size: string; root: string; at: string } {
  const [, size = '', root = '', at = ''] = note.split('\n')
  return { size, root, at: at.replace(/^at /, '') }
}

/** The same, for a column that says UTC in its head. */
function clock(at: string): string {
  return time(at).replace(/ UTC$/, '')
}

/** RFC 3339 UTC, for people: `2026-11-21 09:20:32.123 UTC`. */
function time(at: string): string {
  return at.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)Z$/, '$1 $2 UTC')
}

function duration(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
