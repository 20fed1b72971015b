-- Posts the file in BODY with the "Name: value" lines in HEADERS; prints one line of JSON at the end.
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
for name, value in (os.getenv("HEADERS") or ""):gmatch("(.-): ([^\n]*)\n?") do wrk.headers[name] = value end
function done(summary, latency)
  local e = summary.errors
  print(string.format('RESULT {"requests":%d,"seconds":%.6f,"p50":%d,"p99":%d,"failed":%d}', summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
