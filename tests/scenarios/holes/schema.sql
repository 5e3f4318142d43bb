-- A shop for many companies, as one is built today: twelve tables of tenants, one that is shared, and a role of the application that
-- is kept in bounds. Foreign keys between invoices, payments and customers are simple ones: the step isolate makes them composite.
GRANT CREATE ON SCHEMA public TO shop_owner;
SET ROLE shop_owner;

CREATE TYPE order_status AS ENUM ('open', 'paid', 'shipped', 'cancelled');
CREATE TYPE invoice_state AS ENUM ('draft', 'sent', 'paid');

-- shared by all: no tenant key
CREATE TABLE tax_rates (country text PRIMARY KEY CHECK (country ~ '^[A-Z]{2}$'), rate numeric(5,2) NOT NULL);

CREATE TABLE companies (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  country text NOT NULL REFERENCES tax_rates,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX companies_country ON companies (country);

-- unique per tenant, among the living, without regard to case
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  email text NOT NULL,
  email_key text GENERATED ALWAYS AS (lower(email)) STORED NOT NULL,
  name text NOT NULL,
  deleted_at timestamptz,
  UNIQUE (company_id, id)
);
CREATE UNIQUE INDEX users_email ON users (company_id, email_key) WHERE deleted_at IS NULL;

CREATE TABLE tags (
  company_id bigint NOT NULL REFERENCES companies,
  id text NOT NULL CHECK (id ~ '^[a-z0-9-]+$'),
  label text NOT NULL,
  PRIMARY KEY (company_id, id)
);

CREATE TABLE customers (
  id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  name text NOT NULL,
  email text NOT NULL,
  tag_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  FOREIGN KEY (company_id, tag_id) REFERENCES tags (company_id, id)
);
CREATE INDEX customers_company ON customers (company_id, name) WHERE deleted_at IS NULL;
CREATE INDEX customers_tag ON customers (company_id, tag_id);
CREATE UNIQUE INDEX customers_email ON customers (company_id, email) WHERE deleted_at IS NULL;

-- a partition a year; the application counts its numbers from a sequence
CREATE SEQUENCE order_ids AS bigint;
CREATE TABLE orders (
  company_id bigint NOT NULL REFERENCES companies,
  id bigint NOT NULL DEFAULT nextval('order_ids'),
  placed_on date NOT NULL,
  customer_id uuid NOT NULL REFERENCES customers,
  status order_status NOT NULL DEFAULT 'open',
  PRIMARY KEY (company_id, id, placed_on)
) PARTITION BY RANGE (placed_on);
ALTER SEQUENCE order_ids OWNED BY orders.id;
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE orders_2027 PARTITION OF orders FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
CREATE INDEX ON orders (company_id, customer_id);
CREATE INDEX ON orders (customer_id);

CREATE TABLE order_items (
  company_id bigint NOT NULL REFERENCES companies,
  order_id bigint NOT NULL,
  placed_on date NOT NULL,
  line integer NOT NULL CHECK (line > 0),
  product text NOT NULL,
  quantity integer NOT NULL CHECK (quantity > 0),
  unit_price numeric(10,2) NOT NULL,
  amount numeric(12,2) GENERATED ALWAYS AS (quantity * unit_price) STORED,
  PRIMARY KEY (company_id, order_id, placed_on, line),
  FOREIGN KEY (company_id, order_id, placed_on) REFERENCES orders (company_id, id, placed_on) ON DELETE CASCADE
);

CREATE TABLE invoices (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  customer_id uuid NOT NULL REFERENCES customers,
  number text NOT NULL,
  net numeric(12,2) NOT NULL,
  tax numeric(12,2) NOT NULL,
  total numeric(12,2) GENERATED ALWAYS AS (net + tax) STORED,
  state invoice_state NOT NULL DEFAULT 'draft',
  issued_on date NOT NULL,
  UNIQUE (company_id, number)
);
CREATE INDEX invoices_customer ON invoices (customer_id);
CREATE INDEX invoices_company_customer ON invoices (company_id, customer_id);

CREATE TABLE payments (
  id bigserial PRIMARY KEY,
  company_id bigint REFERENCES companies, -- filled by the migration
  invoice_id bigint NOT NULL REFERENCES invoices,
  amount numeric(12,2) NOT NULL,
  paid_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_company_invoice ON payments (company_id, invoice_id);
CREATE INDEX payments_invoice ON payments (invoice_id);

-- an archive that inherits; one company only has used it as yet
CREATE TABLE documents (
  company_id bigint NOT NULL REFERENCES companies,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  author_id bigint NOT NULL,
  title text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, author_id) REFERENCES users (company_id, id)
);
CREATE INDEX documents_author ON documents (company_id, author_id);
CREATE TABLE documents_archive (
  archived_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id) REFERENCES companies,
  FOREIGN KEY (company_id, author_id) REFERENCES users (company_id, id)
) INHERITS (documents);
CREATE INDEX documents_archive_author ON documents_archive (company_id, author_id);

-- about a user or an invoice
CREATE TABLE notes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  subject_type text NOT NULL CHECK (subject_type IN ('Invoice', 'User')),
  subject_id bigint NOT NULL,
  body text NOT NULL,
  data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(data) = 'object')
);
CREATE INDEX notes_company ON notes (company_id, id);
CREATE INDEX notes_subject ON notes (subject_type, subject_id);

-- written, read, never changed
CREATE SEQUENCE audit_ids AS bigint;
CREATE TABLE audit_log (
  company_id bigint NOT NULL REFERENCES companies,
  id bigint NOT NULL DEFAULT nextval('audit_ids'),
  logged_at timestamptz NOT NULL DEFAULT now(),
  action text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
  PRIMARY KEY (company_id, id, logged_at)
) PARTITION BY RANGE (logged_at);
ALTER SEQUENCE audit_ids OWNED BY audit_log.id;
CREATE TABLE audit_log_2026 PARTITION OF audit_log FOR VALUES FROM ('2026-01-01 00:00Z') TO ('2027-01-01 00:00Z');
CREATE TABLE audit_log_rest PARTITION OF audit_log DEFAULT;

CREATE TABLE settings (
  company_id bigint PRIMARY KEY REFERENCES companies,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object')
);

-- triggers as every application has them
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.audit_log (company_id, action) VALUES (coalesce(NEW.company_id, OLD.company_id), TG_TABLE_NAME || ' ' || lower(TG_OP));
  RETURN NULL;
END $$;
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION log_change();

-- What looks like a hole, and is none:
-- a view with the rights of who asks
CREATE VIEW customer_totals WITH (security_invoker) AS
  SELECT c.company_id, c.id, c.name, sum(i.total) AS total FROM customers c LEFT JOIN invoices i ON i.customer_id = c.id GROUP BY c.company_id, c.id, c.name;
-- a view and a function with their owner's rights that read what is shared
CREATE VIEW countries AS SELECT country FROM tax_rates;
CREATE FUNCTION tax_rate(of_country text) RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT t.rate FROM public.tax_rates t WHERE t.country = of_country $$;
-- a materialised view that only the platform may read
CREATE MATERIALIZED VIEW revenue AS SELECT company_id, sum(net) AS net FROM invoices GROUP BY company_id;
RESET ROLE;
-- a function with the rights of a role that is itself under the policies
CREATE FUNCTION open_amount() RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT pg_catalog.sum(i.total) FROM public.invoices i WHERE i.state = 'sent' $$;
ALTER FUNCTION open_amount() OWNER TO shop_reader;
-- a view with its owner's rights that only the platform may read
CREATE VIEW platform_overview AS SELECT c.name, count(*) AS users FROM companies c JOIN users u ON u.company_id = c.id GROUP BY c.name;
ALTER VIEW platform_overview OWNER TO shop_operator;
-- a publication of what is shared
CREATE PUBLICATION shared FOR TABLE tax_rates;

SET ROLE shop_owner;
-- Numbers that all tenants draw from one row of keys are not the application's to choose: the error would say whose they are.
GRANT SELECT ON tax_rates, companies, users, tags, customers, orders, order_items, invoices, payments, documents, notes, audit_log, settings, customer_totals, countries TO shop_app, shop_reader;
GRANT INSERT (company_id, email, name), UPDATE (email, name, deleted_at), DELETE ON users TO shop_app;
GRANT INSERT (company_id, name, email, tag_id), UPDATE (name, email, tag_id, deleted_at), DELETE ON customers TO shop_app;
GRANT INSERT, UPDATE, DELETE ON tags, orders, order_items, documents TO shop_app;
GRANT INSERT (company_id, customer_id, number, net, tax, issued_on), UPDATE (customer_id, number, net, tax, state, issued_on), DELETE ON invoices TO shop_app;
GRANT INSERT (company_id, invoice_id, amount, paid_at) ON payments TO shop_app;
GRANT INSERT (company_id, subject_type, subject_id, body, data), UPDATE (company_id, body, data), DELETE ON notes TO shop_app;
GRANT INSERT (company_id, action, details) ON audit_log TO shop_app;
GRANT UPDATE (name) ON companies TO shop_app;
GRANT INSERT, UPDATE ON settings TO shop_app;
GRANT USAGE ON SEQUENCE order_ids, audit_ids, payments_id_seq TO shop_app;
-- reports go to one partition, and to the archive
GRANT SELECT ON orders_2026, documents_archive TO shop_app, shop_reader;
GRANT INSERT, DELETE ON documents_archive TO shop_app;
-- the platform
GRANT SELECT, INSERT, UPDATE, DELETE ON companies, users, tags, customers, orders, order_items, invoices, payments, documents, notes, audit_log, settings TO shop_operator;
GRANT SELECT ON revenue TO shop_operator;
RESET ROLE;
