-- As an ORM made it: mixed-case names, a nullable reference, and SET NULL when a customer goes.
CREATE TABLE "Customer" (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name       text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE "Lead" (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  number      serial UNIQUE,
  title       text NOT NULL,
  customer_id uuid,
  CONSTRAINT "Lead_customer_id_fkey" FOREIGN KEY (customer_id) REFERENCES "Customer" (id) ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "Lead_customer_id_idx" ON "Lead" (customer_id);
CREATE TABLE "Job" (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  title       text NOT NULL,
  lead_id     uuid REFERENCES "Lead" (id),
  customer_id uuid,
  CONSTRAINT "Job_customer_id_fkey" FOREIGN KEY (customer_id) REFERENCES "Customer" (id) ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "Job_customer_id_idx" ON "Job" (customer_id);
