# Pushes with prometheus/client/push as it is. Arguments: URL, with a token as the password.
require 'tmpdir'
require 'prometheus/client'
require 'prometheus/client/push'

# Where this variant of the client keeps its values.
Dir.mktmpdir do |directory|
  Prometheus::Client.configure { |it| it.multiprocess_files_dir = directory }
  url = ARGV.fetch(0)

  def done(response)
    abort "#{response.code} #{response.body}" unless response.is_a?(Net::HTTPSuccess)
  end

  registry = Prometheus::Client::Registry.new
  registry.counter(:rows_total, 'Rows', {}).increment({ table: "a \"b\"\n" }, 3)
  registry.gauge(:last_success, 'When').set({}, 1)
  done Prometheus::Client::Push.new(job: 'ruby', gateway: url).add(registry)

  more = Prometheus::Client::Registry.new
  more.gauge(:extra, 'More').set({}, 2)
  done Prometheus::Client::Push.new(job: 'ruby', gateway: url).add(more)
  done Prometheus::Client::Push.new(job: 'a b', instance: 'i', gateway: url).add(registry)
  done Prometheus::Client::Push.new(job: 'a b', instance: 'i', gateway: url).replace(more)

  gone = Prometheus::Client::Push.new(job: 'gone', gateway: url)
  done gone.replace(more)
  done gone.delete
end
