import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { PotorooError } from '@potoroo/contract';

/** Networks that an address given by a user must not lead into: this machine, its neighbours, the cloud's metadata service, and what carries such addresses in it. */
const privateNets = [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4',
  '::/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/32', '2002::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8',
];

/** Which private addresses may be reached after all. */
export interface Allowed {
  /** Names whose addresses are all allowed. */
  readonly names: ReadonlySet<string>;
  readonly nets: BlockList;
}

/** Host names, addresses and nets (`10.2.0.0/16`), separated by commas. @throws settings_invalid naming the entry */
export function readAllowed(text: string): Allowed {
  const names = new Set<string>();
  const nets = new BlockList();
  for (const entry of text.split(',').map((part) => part.trim().toLowerCase()).filter((part) => part !== '')) {
    if (addNet(nets, entry)) continue;
    if (!/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(entry) || /^[\d.]+$/.test(entry)) {
      throw new PotorooError('settings_invalid', `POTOROO_ALLOWED_PRIVATE_HOSTS: ${JSON.stringify(entry)} is neither a host name nor an address nor a net. Separate entries with commas, such as mlflow.internal, 10.2.0.0/16.`);
    }
    names.add(entry);
  }
  return { names, nets };
}

const privateList = new BlockList();
for (const net of privateNets) addNet(privateList, net);

function addNet(list: BlockList, text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  if (version === 0 || more.length > 0 || (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most))) return false;
  list.addSubnet(address, Number(bits ?? most), version === 6 ? 'ipv6' : 'ipv4');
  return true;
}

/** Whether a connection to this address may be made for a user's request to that host. */
export function mayConnect(host: string, address: string, allowed: Allowed): boolean {
  // An IPv4 address inside an IPv6 one is looked up among the IPv4 nets; a zone says nothing of where it leads.
  const plain = address.split('%')[0] ?? '';
  const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
  if (isIP(plain) === 0) return false;
  return !privateList.check(plain, family) || allowed.names.has(host.toLowerCase()) || allowed.nets.check(plain, family);
}

export const refusedAddress = (host: string): PotorooError => new PotorooError('address_refused', `${host.slice(0, 253)} is an address of this machine or of a private network, where requests for users do not go. An administrator can allow it in POTOROO_ALLOWED_PRIVATE_HOSTS.`);

/**
 * The lookup of a connection that is about to be made: it gives only addresses that may be connected to. There is no later
 * lookup that could say something else.
 */
export function guardedLookup(allowed: Allowed): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0);
      const good = found.filter(({ address }) => mayConnect(host, address, allowed));
      const first = good[0];
      if (first === undefined) return callback(refusedAddress(host) as Error, '', 0);
      if (options.all === true) callback(null, good);
      else callback(null, first.address, first.family);
    });
  };
}
