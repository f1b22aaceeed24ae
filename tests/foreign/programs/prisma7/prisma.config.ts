import { defineConfig } from "prisma/config";

export default defineConfig({
  schema: "schema.prisma",
  datasource: {
    // Not env("DATABASE_URL"), which throws where it is missing: generating needs no database.
    url: process.env.DATABASE_URL ?? "",
  },
});
