-- Pushes the file that BENCH_BODY names to each of BENCH_GROUPS groups in turn, replacing what is there.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
local body = file:read("*a")
file:close()
local groups = tonumber(os.getenv("BENCH_GROUPS"))
local headers = { ["Content-Type"] = "text/plain; version=0.0.4" }
local requests, at = {}, 0

-- Written once, so that the load costs a copy.
function init()
  for i = 0, groups - 1 do
    requests[i] = wrk.format("PUT", "/metrics/job/bench/instance/i-" .. i, headers, body)
  end
end

function request()
  local res = requests[at]
  at = (at + 1) % groups
  return res
end
