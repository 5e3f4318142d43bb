# What the TAP tests share: servers that have the extension, and runs of the client with status, output and errors at hand.
package TenantmigTest;
use strict;
use warnings FATAL => 'all';
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server use_server client client_ok client_fails write_text read_text folder run_sql);

# A running server of its own, with the extension in database postgres unless `extension => 0`.
sub new_server {
  my ($name, %options) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init(%{ $options{init} // {} }, auth_extra => $options{auth_extra} // []);
  if (my $dest = $ENV{TENANTMIG_DESTDIR}) {
    my $config = $ENV{PG_CONFIG} // 'pg_config';
    chomp(my $lib = qx($config --pkglibdir));
    chomp(my $share = qx($config --sharedir));
    chomp(my $version = qx($config --version));
    my $path = $version =~ /^PostgreSQL (\d+)/ && $1 >= 18 ? "extension_control_path = '$dest$share:\$system'" : "extension_destdir = '$dest'";
    $node->append_conf('postgresql.conf', "$path\ndynamic_library_path = '$dest$lib:\$libdir'\n");
  }
  $node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
  $node->start;
  $node->safe_psql('postgres', 'CREATE EXTENSION tenantmig') if $options{extension} // 1;
  return $node;
}

# Lets the client's calls that follow go there, as a user's environment would.
sub use_server {
  my ($node, $database) = @_;
  $ENV{PGHOST} = $node->host;
  $ENV{PGPORT} = $node->port;
  $ENV{PGDATABASE} = $database // 'postgres';
  delete $ENV{PGAPPNAME}; # the test framework sets it; the client has a name of its own
  $ENV{PGUSER} = 'postgres' if !exists $ENV{PGUSER};
  return;
}

sub run_sql { my ($node, $sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }

# Runs the client. The last argument may be {stdin => TEXT}. Returns {status, out, err}.
sub client {
  my @arguments = @_;
  my $options = ref $arguments[-1] eq 'HASH' ? pop @arguments : {};
  my ($in, $out, $err) = ($options->{stdin} // '', '', '');
  IPC::Run::run(['tenantmig', @arguments], '<', \$in, '>', \$out, '2>', \$err);
  my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
  return { status => $status, out => $out, err => $err };
}

sub check_call {
  my ($name, $call, $status, $out, $err) = @_;
  my $good = is($call->{status}, $status, "$name: status $status");
  $good &= like($call->{out}, $out, "$name: output") if defined $out;
  $good &= like($call->{err}, $err, "$name: standard error") if defined $err;
  diag("output:\n$call->{out}\nstandard error:\n$call->{err}") if !$good;
  return $call;
}

# client_ok(NAME, [ARGUMENTS], STATUS, OUTPUT, ERRORS): output and errors are patterns, or undef for whatever.
sub client_ok {
  my ($name, $arguments, $status, $out, $err) = @_;
  return check_call($name, client(@$arguments), $status, $out, $err);
}

# client_fails(NAME, [ARGUMENTS], STATUS, ERROR): nothing on standard output, and an error that matches.
sub client_fails {
  my ($name, $arguments, $status, $err) = @_;
  return check_call($name, client(@$arguments), $status, qr/\A\z/, $err);
}

# A folder that is gone after the test.
sub folder { return PostgreSQL::Test::Utils::tempdir(); }

sub write_text {
  my ($path, $text) = @_;
  open(my $file, '>:raw', $path) or die "could not write $path: $!";
  print {$file} $text;
  close($file) or die "could not write $path: $!";
  return $path;
}

sub read_text { return PostgreSQL::Test::Utils::slurp_file($_[0]); }

1;
