-- Health of a ProofJob: proven, failed, held, or under way.
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
health.message = obj.status.summary or ""
local is = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  is[condition.type] = condition.status == "True"
end
if is.Complete then
  health.status = "Healthy"
elseif is.Failed or is.Stalled then
  health.status = "Degraded"
elseif is.Suspended then
  health.status = "Suspended"
end
return health
