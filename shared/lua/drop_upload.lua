#!lua flags=allow-oom
-- with: uploads
-- ARGV: prefix, owner, name. Returns 1, or 0 where it is not kept.
let_kept_go(ARGV[2])
if not redis.call('ZSCORE', kept_key(ARGV[2]), ARGV[3]) then return 0 end
let_go(ARGV[2], ARGV[3])
redis.call('UNLINK', blob_key(ARGV[3]))
return 1
