import { Type, type Static } from '@sinclair/typebox';
import { IdSchema, oneOf, PasswordSchema, TimeSchema } from './common.ts';

const RoleSchema = oneOf(['user', 'admin']);

export const UserSchema = Type.Object({
  id: Type.String(), email: Type.String(), username: Type.String(), role: RoleSchema, enabled: Type.Boolean(), createdAt: TimeSchema,
}, { $id: 'User' });
export type ApiUser = Static<typeof UserSchema>;

export const NewUserSchema = Type.Object({
  email: Type.String({ maxLength: 254 }),
  username: Type.Optional(Type.String({ maxLength: 254, description: 'The e-mail when not given.' })),
  password: PasswordSchema({ description: '8 to 256 characters.' }),
  role: Type.Optional(RoleSchema),
}, { additionalProperties: false });
export type NewUser = Static<typeof NewUserSchema>;

export const UserChangeSchema = Type.Object({ enabled: Type.Boolean() }, { additionalProperties: false });

const NullableTime = Type.Union([TimeSchema, Type.Null()]);
export const PersonalTokenSchema = Type.Object({
  id: Type.String({ description: 'A UUID.' }), name: Type.String(), createdAt: TimeSchema, expiresAt: NullableTime, lastUsedAt: NullableTime,
}, { $id: 'PersonalToken' });
export type ApiPersonalToken = Static<typeof PersonalTokenSchema>;
export const CreatedPersonalTokenSchema = Type.Composite([PersonalTokenSchema, Type.Object({ token: Type.String({ readOnly: true, description: 'The token itself, shown this once. Send it as `Authorization: Bearer <token>`.' }) })], { $id: 'CreatedPersonalToken' });
export type ApiCreatedPersonalToken = Static<typeof CreatedPersonalTokenSchema>;
export const NewPersonalTokenSchema = Type.Object({
  name: Type.String({ description: 'What it is for.' }), expiresAt: Type.Optional(TimeSchema),
}, { additionalProperties: false });

const MemberRoleSchema = oneOf(['owner', 'collaborator']);
export const WorkspaceSchema = Type.Object({
  id: IdSchema, name: Type.String(), archived: Type.Boolean(), createdAt: TimeSchema, createdBy: Type.String({ description: 'A user id.' }),
  members: Type.Array(Type.Object({ userId: Type.String(), role: MemberRoleSchema })),
}, { $id: 'Workspace' });
export type ApiWorkspace = Static<typeof WorkspaceSchema>;

export const NewWorkspaceSchema = Type.Object({ name: Type.String() }, { additionalProperties: false });
export const WorkspaceChangeSchema = Type.Object({ archived: Type.Boolean() }, { additionalProperties: false });
export const MemberChangeSchema = Type.Object({ role: MemberRoleSchema }, { additionalProperties: false });

export const SigningKeySchema = Type.Object({
  id: Type.String({ description: 'The `kid` of tokens that it signed.' }), createdAt: TimeSchema, signsFrom: TimeSchema,
  state: oneOf(['next', 'signing', 'verifying', 'retired', 'revoked'], { description: '`next` is known and does not sign yet; `verifying` signs no more, its tokens are good until they end; those of a `retired` one have ended, and those of a `revoked` one are refused.' }),
}, { $id: 'SigningKey' });
export type ApiSigningKey = Static<typeof SigningKeySchema>;
