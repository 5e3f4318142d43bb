-- Whole migrations: the steps forward and back.

CREATE PROCEDURE tenantmig.up(name text, to_step integer DEFAULT NULL, steps integer DEFAULT NULL, workers integer DEFAULT 1, maintenance boolean DEFAULT false)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_up';
COMMENT ON PROCEDURE tenantmig.up(text, integer, integer, integer, boolean) IS
  'applies the steps of a migration that are not in force, in the order of the spec: all, or those up to to_step (that one is the last; 0: none), or the next few (steps). Goes on with a step that is half-way. workers: for backfills, 1 to 64. maintenance: writes to the migration''s tables are fenced meanwhile. Commits as it goes; the views steps and execution_log tell how far it is. Needs the privileges of the migration''s owner; a superuser''s migration needs a superuser. Errors: 25001 (inside a transaction block), 25006, 42704, 42501, 22023, 55006 (another run is active), TM013 (a gate is closed: the steps before it stay), TM018 (rows stand in the way), TM019 (a step outside of the range is half-way), 42601, and whatever a statement of a sql step reports, with its number. Locks: those of the steps, short ones, each waited for briefly and again.';
REVOKE ALL ON PROCEDURE tenantmig.up(text, integer, integer, integer, boolean) FROM PUBLIC;

CREATE PROCEDURE tenantmig.down(name text, to_step integer DEFAULT NULL, steps integer DEFAULT NULL)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_down';
COMMENT ON PROCEDURE tenantmig.down(text, integer, integer) IS
  'takes back the steps of a migration that are in force, the last one first: all, or those after to_step (which stays; 0: all), or the last few (steps). Goes on with a step that is half-way. Commits as it goes. Errors: as up, and TM020 (a step in the range can''t be taken back; nothing has been changed then). Locks: those of the steps.';
REVOKE ALL ON PROCEDURE tenantmig.down(text, integer, integer) FROM PUBLIC;
