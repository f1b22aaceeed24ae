import http from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { PrismaPg } from "@prisma/adapter-pg";
import { Prisma, PrismaClient } from "./generated/prisma/client.js";

const { DATABASE_URL, ISOLATION = "SERIALIZABLE", POOL = "10", PORT = "0" } = process.env;
const TRIES = 5;

const isolationLevel = {
  "SERIALIZABLE": Prisma.TransactionIsolationLevel.Serializable,
  "READ COMMITTED": Prisma.TransactionIsolationLevel.ReadCommitted,
}[ISOLATION];
if (!isolationLevel) throw new Error(`unknown ISOLATION: ${ISOLATION}`);

interface Booking {
  staff: number;
  start: string;
  minutes: number;
  client: string;
}

class TimeConflict extends Error {}

const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString: DATABASE_URL, max: Number(POOL) }),
});

async function book({ staff, start, minutes, client }: Booking): Promise<number> {
  const startsAt = new Date(start);
  const endsAt = new Date(startsAt.getTime() + minutes * 60_000);
  const hour = Math.floor(startsAt.getTime() / 3_600_000);

  return prisma.$transaction(
    async (tx) => {
      // The cast: Prisma can't read a column of type void.
      await tx.$queryRaw`SELECT pg_advisory_xact_lock(${staff ^ hour})::text`;
      const overlapping = await tx.appointment.findFirst({
        where: {
          staffId: staff,
          status: "confirmed",
          startsAt: { lt: endsAt },
          endsAt: { gt: startsAt },
        },
        select: { id: true },
      });
      if (overlapping) throw new TimeConflict();
      const { id } = await tx.appointment.create({
        data: { staffId: staff, startsAt, endsAt, client },
        select: { id: true },
      });
      return id;
    },
    { isolationLevel },
  );
}

async function withRetries<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      // "Transaction failed due to a write conflict or a deadlock. Please retry your transaction"
      const retryable =
        error instanceof Prisma.PrismaClientKnownRequestError && error.code === "P2034";
      if (attempt === TRIES || !retryable) throw error;
      await sleep(2 ** attempt);
    }
  }
}

async function answer(request: http.IncomingMessage): Promise<[number, object]> {
  if (request.method !== "POST" || request.url !== "/book") {
    return [404, { error: "NOT_FOUND" }];
  }
  try {
    const booking = (await json(request)) as Booking;
    return [201, { id: await withRetries(() => book(booking)) }];
  } catch (error) {
    if (error instanceof TimeConflict) return [409, { error: "TIME_CONFLICT" }];
    const { code, name } = error as Error & { code?: string };
    return [500, { error: code ?? name }];
  }
}

const server = http.createServer(async (request, response) => {
  const [status, body] = await answer(request);
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
});

server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on 127.0.0.1:${(server.address() as AddressInfo).port}`);
});
