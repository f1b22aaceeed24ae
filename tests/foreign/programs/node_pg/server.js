import http from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

const { DATABASE_URL, ISOLATION = "SERIALIZABLE", POOL = "10", PORT = "0" } = process.env;
const TRIES = 5;
const RETRYABLE = ["40001", "40P01"]; // serialization_failure, deadlock_detected

if (!["SERIALIZABLE", "READ COMMITTED"].includes(ISOLATION)) {
  throw new Error(`unknown ISOLATION: ${ISOLATION}`);
}

class TimeConflict extends Error {}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: Number(POOL) });
// Without a listener, an idle connection that breaks would end the process.
pool.on("error", (error) => console.error(error.message));

async function inTransaction(work) {
  const client = await pool.connect();
  try {
    await client.query(`BEGIN ISOLATION LEVEL ${ISOLATION}`);
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    // On a broken connection this fails too; the first error is the one to tell.
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

function book({ staff, start, minutes, client }) {
  const startsAt = new Date(start);
  const endsAt = new Date(startsAt.getTime() + minutes * 60_000);
  const hour = Math.floor(startsAt.getTime() / 3_600_000);

  return inTransaction(async (db) => {
    await db.query("SELECT pg_advisory_xact_lock($1)", [staff ^ hour]);
    const overlapping = await db.query(
      `SELECT id FROM appointment
       WHERE staff_id = $1 AND status = 'confirmed' AND starts_at < $2 AND ends_at > $3
       LIMIT 1`,
      [staff, endsAt, startsAt],
    );
    if (overlapping.rowCount > 0) throw new TimeConflict();
    const inserted = await db.query(
      `INSERT INTO appointment (staff_id, starts_at, ends_at, client)
       VALUES ($1, $2, $3, $4) RETURNING id`,
      [staff, startsAt, endsAt, client],
    );
    return inserted.rows[0].id;
  });
}

async function withRetries(work) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === TRIES || !RETRYABLE.includes(error.code)) throw error;
      await sleep(2 ** attempt);
    }
  }
}

async function answer(request) {
  if (request.method !== "POST" || request.url !== "/book") {
    return [404, { error: "NOT_FOUND" }];
  }
  try {
    const booking = await json(request);
    return [201, { id: await withRetries(() => book(booking)) }];
  } catch (error) {
    if (error instanceof TimeConflict) return [409, { error: "TIME_CONFLICT" }];
    return [500, { error: error.code ?? error.name }];
  }
}

const server = http.createServer(async (request, response) => {
  const [status, body] = await answer(request);
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
});

server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
