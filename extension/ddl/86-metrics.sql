-- What monitoring systems ask for and no other view tells: those who may only read views cannot read a sequence.

CREATE VIEW tenantmig.guard_refusals AS
  SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END AS refusals FROM tenantmig.guard_refusal_seq s;
COMMENT ON VIEW tenantmig.guard_refusals IS 'how many writes guards have refused; counts those whose transaction was rolled back, too';
COMMENT ON COLUMN tenantmig.guard_refusals.refusals IS 'writes that were refused since the extension was created; only ever grows';
