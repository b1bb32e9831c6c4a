/** An edit of an image, the way all of them go: dry run, diff, question, and the edit of the image as it was seen. */
import { confirmChanges, dryRun } from './confirm.ts'
import { imageNamed } from './image-reference.ts'
import type { Session } from './session.ts'

/** Query of an edit. */
type EditQuery = { message?: string; dryRun?: 'true' }

/**
 * Does the edit when somebody agrees. `call` makes the request, first as a dry run. Answers the edit's document, or
 * `undefined` when there was nothing to change. Throws when the answer is no.
 */
export async function editImage<Document extends object | null | undefined>(
  session: Session,
  name: string,
  question: string,
  call: (query: EditQuery, options: { headers: Record<string, string> }) => Promise<Document>,
): Promise<{ document: Document } | undefined> {
  const { revision } = await imageNamed(session, name)
  const options = { headers: { 'if-match': `"${revision}"` } }
  const plan = await call({ ...session.why, dryRun: 'true' }, options)
  if (!(await confirmChanges(session, dryRun(plan ?? {}), () => question))) return undefined
  return { document: await call(session.why, options) }
}
