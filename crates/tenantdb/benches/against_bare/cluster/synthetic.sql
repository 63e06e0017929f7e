-- Rows for as many databases as are asked for, after those of the one that was made: no files are behind them.
SET allow_system_table_mods = on;
CREATE TEMP TABLE roles AS SELECT * FROM pg_authid WHERE starts_with(rolname, 'tenant0000');
CREATE TEMP TABLE members AS SELECT * FROM pg_auth_members
    WHERE roleid IN (SELECT oid FROM roles) OR member IN (SELECT oid FROM roles);
CREATE TEMP TABLE settings AS SELECT * FROM pg_db_role_setting WHERE setrole IN (SELECT oid FROM roles);
CREATE TEMP TABLE databases AS SELECT * FROM pg_database WHERE datname = 'tenant0000';
-- All OIDs of the one that was made are within a thousand.
CREATE TEMP TABLE others AS SELECT 'tenant' || lpad(number::text, 4, '0') AS name, number::bigint * 1000 AS shift
    FROM generate_series(1, {tenants} - 1) number;

INSERT INTO pg_authid SELECT (jsonb_populate_record(r, jsonb_build_object(
    'oid', r.oid::bigint + shift, 'rolname', replace(rolname, 'tenant0000', name)))).* FROM roles r, others;

INSERT INTO pg_auth_members SELECT (jsonb_populate_record(m, jsonb_build_object(
    'oid', m.oid::bigint + shift,
    'roleid', roleid::bigint + CASE WHEN roleid IN (SELECT oid FROM roles) THEN shift ELSE 0 END,
    'member', member::bigint + CASE WHEN member IN (SELECT oid FROM roles) THEN shift ELSE 0 END))).* FROM members m, others;

INSERT INTO pg_database SELECT (jsonb_populate_record(d, jsonb_build_object(
    'oid', d.oid::bigint + shift, 'datname', name,
    'datacl', replace(to_jsonb(datacl::text[])::text, 'tenant0000', name)::jsonb))).* FROM databases d, others;

INSERT INTO pg_db_role_setting SELECT (jsonb_populate_record(s, jsonb_build_object(
    'setdatabase', setdatabase::bigint + CASE WHEN setdatabase IN (SELECT oid FROM databases) THEN shift ELSE 0 END,
    'setrole', setrole::bigint + shift,
    'setconfig', replace(to_jsonb(setconfig)::text, 'tenant0000', name)::jsonb))).* FROM settings s, others;
