/**
 * Every way in which Muster says no.
 *
 * A code is `NOUN_STATE`; the table gives it its HTTP status. `AppError` is the only error class: whatever else is
 * thrown is a bug or an outage, and is answered as `INTERNAL` without detail (see `routes/errors.ts`).
 */

/** Each code with the HTTP status that answers it. The API's reference prints this table. */
export const statusOf = {
  REQUEST_INVALID: 400,
  SETTINGS_INVALID: 400,
  SELECTOR_INVALID: 400,
  NAME_INVALID: 400,
  DIGEST_INVALID: 400,
  DIGEST_MISMATCH: 400,
  ARCHIVE_INVALID: 400,
  ARCHIVE_LIMIT: 413,
  BODY_TOO_LARGE: 413,
  IMAGE_UNBOOTABLE: 422,
  SOURCE_INVALID: 400,
  SOURCE_UNKNOWN: 404,
  SOURCE_DENIED: 403,
  SOURCE_UNREACHABLE: 502,
  OVERLAY_INVALID: 422,
  TEMPLATE_INVALID: 422,
  SCRIPT_UNSAFE: 422,
  PLAN_IMPOSSIBLE: 422,
  TOKEN_MISSING: 401,
  TOKEN_INVALID: 401,
  TOKEN_SCOPE: 403,
  TICKET_INVALID: 401,
  SECRET_INVALID: 400,
  SECRET_DENIED: 403,
  NODE_UNKNOWN: 404,
  PROFILE_UNKNOWN: 404,
  IMAGE_UNKNOWN: 404,
  OVERLAY_UNKNOWN: 404,
  SECRET_UNKNOWN: 404,
  TOKEN_UNKNOWN: 404,
  REVISION_UNKNOWN: 404,
  MACHINE_UNKNOWN: 404,
  ATTEMPT_UNKNOWN: 404,
  BLOB_UNKNOWN: 404,
  FILE_UNKNOWN: 404,
  IMPORT_UNKNOWN: 404,
  ROLLOUT_UNKNOWN: 404,
  ROUTE_UNKNOWN: 404,
  METHOD_UNKNOWN: 405,
  TICKET_SPENT: 410,
  NODE_EXISTS: 409,
  MAC_TAKEN: 409,
  ADDRESS_TAKEN: 409,
  PROFILE_CYCLE: 409,
  PROFILE_USED: 409,
  IMAGE_EXISTS: 409,
  IMAGE_USED: 409,
  IMPORT_INCOMPLETE: 409,
  ROLLOUT_ACTIVE: 409,
  ROLLOUT_ENDED: 409,
  SYNCUSER_CONFLICT: 409,
  OVERLAY_USED: 409,
  TOKEN_EXISTS: 409,
  REVISION_CONFLICT: 412,
  OVERLAY_CHANGED: 412,
  RANGE_INVALID: 416,
  BLOB_CORRUPT: 500,
  SECRET_LOCKED: 500,
  REGISTRY_NEWER: 500,
  INTERNAL: 500,
  UNSUPPORTED: 501,
  IMAGE_PREPARING: 503,
  IMPORT_LIMIT: 503,
  REGISTRY_BUSY: 503,
} as const

/** One of the codes of {@link statusOf}. */
export type ErrorCode = keyof typeof statusOf

/** What an error carries besides its message: the field at fault and what caused it. */
export type ErrorDetail = {
  /** Dotted path of the field that is wrong, as the caller wrote it: `settings.netdevs.eth0.mac`. */
  field?: string
  /** All faults, when there are several: each with its field. */
  faults?: { field: string; message: string }[]
  cause?: unknown
}

/** A failure with a code. The message names the thing and, where there is one, the way out. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly field: string | undefined
  readonly faults: { field: string; message: string }[] | undefined

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.field = detail.field
    this.faults = detail.faults
  }
}
