-- What the probe asks for: whoever may choose an id can find out by trial which ones other companies have. The ids come from the
-- tables' identity columns; the application has no need to write them.
REVOKE INSERT, UPDATE ON customers, appointments, phone_numbers, calls FROM app;
GRANT INSERT (company_id, name, email, created_at, updated_at, deleted_at), UPDATE (company_id, name, email, created_at, updated_at, deleted_at) ON customers TO app;
GRANT INSERT (customer_id, company_id, starts_at, service), UPDATE (customer_id, company_id, starts_at, service) ON appointments TO app;
GRANT INSERT (customer_id, company_id, number), UPDATE (customer_id, company_id, number) ON phone_numbers TO app;
GRANT INSERT (customer_id, company_id, started_at, seconds), UPDATE (customer_id, company_id, started_at, seconds) ON calls TO app;
