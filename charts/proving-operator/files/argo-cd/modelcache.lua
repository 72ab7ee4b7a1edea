-- Health of a ModelCache: ready, stalled, or under way.
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.status == "True" and condition.type == "Ready" then
    return {status = "Healthy", message = condition.message}
  end
  if condition.status == "True" and condition.type == "Stalled" then
    return {status = "Degraded", message = condition.message}
  end
  if condition.type == "Reconciling" then
    health.message = condition.message
  end
end
return health
