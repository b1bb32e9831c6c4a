/** The activity database in Cloudflare D1. */
import { type D1Binding, d1Database } from '../registry/d1.ts'
import { type ActivityDatabase, activitySchema } from './schema.ts'

/** The activity database behind a D1 binding. */
export const d1Activity = (binding: D1Binding): ActivityDatabase => d1Database(binding, activitySchema)
