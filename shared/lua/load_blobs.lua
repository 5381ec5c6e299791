-- ARGV: prefix, ttl s, then blob names and bytes in turn. Without allow-oom: a full store takes no more of them.
for at = 3, #ARGV, 2 do
  redis.call('SET', blob_key(ARGV[at]), ARGV[at + 1], 'EX', ARGV[2])
end
return 1
